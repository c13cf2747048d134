export * from './secret-hasher';
export * from './notifier';
