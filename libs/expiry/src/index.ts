export * from './due';
export * from './ticks';
export * from './watcher';
export { NOTICE_TRIES } from './work';
