import { runService } from '@rekey/composition';

void runService('gateway', process.argv.slice(2));
