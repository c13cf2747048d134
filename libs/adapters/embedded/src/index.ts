export * from './backup';
export * from './local-command-bus';
export { FolderInUse, NewerSchema, STORE_FILE, SqliteDatabase, lockFolder } from './sqlite-database';
export * from './sqlite-read-models';
export { SYSTEM_STREAM, SqliteEventStore } from './sqlite-event-store';
export * from './sqlite-outcomes';
export * from './webhook-event-publisher';
export * from './sqlite-jobs';
