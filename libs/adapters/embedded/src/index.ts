export * from './backup';
export * from './local-command-bus';
export * from './sqlite-database';
export * from './sqlite-read-models';
export * from './sqlite-event-store';
export * from './sqlite-outcomes';
export * from './webhook-event-publisher';
export * from './sqlite-jobs';
