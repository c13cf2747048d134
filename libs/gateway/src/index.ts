export { gatewayRoutes, type GatewayOptions } from './gateway';
export { addRoutes, createHttpServer, type RoutingOptions, type ServerOptions } from './http';
export type { Route } from './route';
export { healthRoutes } from './routes/operations';
