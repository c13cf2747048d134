export * from './backup';
export * from './local-command-bus';
export * from './folder-lock';
export { STORE_FILE, SqliteDatabase } from './sqlite-database';
export { NewerSchema } from './sqlite-errors';
export * from './sqlite-read-models';
export { SqliteEventStore } from './sqlite-event-store';
export * from './sqlite-outcomes';
export * from './sqlite-jobs';
