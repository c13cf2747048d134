export * from './command-bus';
export * from './event-store';
export * from './outcomes';
export * from './secret-hasher';
export * from './notifier';
export * from './read-models';
export type { ReadModelsUnderTest } from './read-models-store';
export * from './jobs';
