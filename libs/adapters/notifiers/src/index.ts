export * from './log-notifier';
export * from './notice-text';
export * from './ui-notifier';
export * from './webhook-notifier';
