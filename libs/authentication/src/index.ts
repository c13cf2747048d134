export * from './basic';
export * from './check';
export * from './limiter';
export { addressText } from './networks';
export {
  REFUSAL_CAUSES,
  type Admitted,
  type CheckOutcome,
  type CheckRequest,
  type CheckResult,
  type RefusalCause,
  type Refused,
} from './result';
export * from './usage';
