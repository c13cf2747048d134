import type { ErrorCode } from '@rekey/contracts';
import type { Unreadable } from './command-record';

/** Why a record became a dead letter. */
export type DeadReason = Unreadable | 'too_old' | 'reply_topic_not_allowed';

/** Callbacks for metrics. */
export interface KafkaObserver {
  readonly deadLettered?: (reason: DeadReason) => void;
  /** The reply to a command could not be sent. */
  readonly replyUndeliverable?: () => void;
  /** A command was rejected without an outcome. */
  readonly commandRefused?: (code: ErrorCode) => void;
  /** A command waits because a store is unavailable. */
  readonly commandWaits?: () => void;
  /** A consumer crashed and is replaced. */
  readonly consumerRestarted?: (consumer: 'commands' | 'replies') => void;
}
