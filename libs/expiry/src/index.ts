export * from './due';
export { NOTICE_RETRIES, type JobHandlersOptions, type WatcherLog } from './job-handlers';
export type { ScheduleView } from './job-sync';
export * from './ticks';
export * from './watcher';
