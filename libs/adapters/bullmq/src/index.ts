export { BullJobs, type BullJobsOptions } from './bull-jobs';
export type { ReportFailure } from './redis-link';
