export * from './check';
export * from './limiter';
export { addressText } from './networks';
export {
  REFUSAL_CAUSES,
  parseBasic,
  type Admitted,
  type BasicReading,
  type CheckOutcome,
  type CheckRequest,
  type CheckResult,
  type RefusalCause,
  type Refused,
} from './request';
export * from './usage';
