export { applicationAsOf, type ApplicationAsOf, type SecretAsOf } from './as-of';
export { exportHistory, readHistory, type HistoryEvent, type HistoryFilter, type HistoryPage } from './history';
export { BROKEN_MAX, verifyExport, verifyHistory, type Verification, type VerifyOptions } from './verify';
