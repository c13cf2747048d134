import type { ErrorCode } from '@rekey/contracts';
import type { Unreadable } from './command-record';

/** Why a record is among the dead letters. */
export type DeadReason = Unreadable | 'too_old' | 'reply_topic_not_allowed';

/** Told of what somebody should count; all optional. */
export interface KafkaObserver {
  readonly deadLettered?: (reason: DeadReason) => void;
  /** A command was answered, and the answer could not be stored where its sender wants it. */
  readonly replyUndeliverable?: () => void;
  /** A command was looked at and refused without an outcome. */
  readonly commandRefused?: (code: ErrorCode) => void;
  /** A store is away, and a command waits for it. */
  readonly commandWaits?: () => void;
  /** A consumer had ended for good, and another takes its place. */
  readonly consumerRestarted?: (consumer: 'commands' | 'replies') => void;
}
