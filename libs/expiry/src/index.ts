export * from './due';
export type { ScheduleView } from './schedule';
export * from './ticks';
export * from './watcher';
export { NOTICE_TRIES, type WorkLog, type WorkOptions } from './work';
