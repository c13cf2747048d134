import { runService } from '@rekey/composition';

void runService('command-service', process.argv.slice(2));
