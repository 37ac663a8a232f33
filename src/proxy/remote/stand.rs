//! The session's own stream: what the upstream says unasked.

use tokio::time::{Instant, sleep};

use super::core::Core;
use super::follow::{End, Follower, Opened};
use crate::proxy::peer::Missed;
use crate::sync::Arc;

/// Reads it until the session is over, or as long as the upstream offers it.
pub async fn stand(core: Arc<Core>) {
    let mut follower = Follower::new(&core, None, false);
    // At the very beginning hardly anybody has read a list.
    let mut missed = Missed::Updates;
    loop {
        let is_resumed = follower.policy.last_id().is_some();
        match follower.open().await {
            Opened::Stream(body) => {
                if !is_resumed {
                    core.missed(missed); // before the first one, too, if it took its time
                }
                match follower.read(body).await {
                    End::TooLong => {
                        let most = core.source.max_message;
                        tracing::warn!(
                            most,
                            "an event of a session's stream was too long and is passed over"
                        );
                        // Else it is told when the stream is back. It was longer than any change of a list.
                        if follower.policy.last_id().is_some() {
                            core.missed(Missed::Updates);
                        }
                    }
                    end => tracing::debug!(?end, "a session's stream ended"),
                }
            }
            Opened::Later => {}
            // It may be the place that the upstream does not take, and not the stream.
            Opened::Never(_) if follower.forget_place() => {}
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
        missed = Missed::UpdatesAndLists;
    }
}
