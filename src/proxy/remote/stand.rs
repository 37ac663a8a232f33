//! The session's own stream: what the upstream says unasked.

use tokio::time::{Instant, sleep};

use super::core::Core;
use super::follow::{Follower, Opened};
use crate::sync::Arc;

/// Reads it until the session is over, or as long as the upstream offers it.
pub async fn stand(core: Arc<Core>) {
    let mut follower = Follower::new(&core, None, false);
    loop {
        let is_resumed = follower.policy.last_id().is_some();
        match follower.open().await {
            Opened::Stream(body) => {
                if !is_resumed {
                    core.missed(); // before the first one, too, if it took its time
                }
                let end = follower.read(body).await;
                tracing::debug!(?end, "a session's stream ended");
            }
            Opened::Later => {}
            Opened::Never(status) => {
                tracing::debug!(%status, "the upstream has no stream for its sessions");
                return;
            }
            Opened::Over => return,
        }
        let Some(pause) = follower.policy.lost(Instant::now()) else {
            return;
        };
        sleep(pause).await;
    }
}
