export * from './argon2-secret-hasher';
