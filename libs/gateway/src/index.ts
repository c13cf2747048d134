export { addRoutes, type RoutingOptions } from './dispatch';
export { gatewayRoutes } from './gateway';
export type { Route } from './route';
export { healthRoutes } from './routes/operations';
export { createHttpServer, type ServerOptions } from './server';
export type { GatewayOptions } from './services';
