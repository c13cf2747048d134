export { addressOf, createProcess, type Process, type ProcessOptions } from './process';
export { kafkaConnectionOf, kafkaTopicsOf } from './kafka';
export { runProcess } from './run';
export { runService } from './run-service';
export { SERVICES, type ServiceName } from './process-context';
