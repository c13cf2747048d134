export * from './applications.view';
export * from './authentication.view';
export * from './domains.view';
export * from './paging';
export * from './secrets.view';
export * from './view';
