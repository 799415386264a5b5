import { workflowInfo } from '@temporalio/workflow';
import { agent } from './agents.ts';
import { planOf, type Run } from './run.ts';

const withinMs = 60_000;

/**
 * Holds all that the plan can change, host by host in name order, without waiting while holding. A refusal ends the
 * run; what was claimed by then is given back by the bringing back that always follows.
 */
export async function claim(run: Run): Promise<void> {
  const { site, siteDigest, procedure, night, upBy, hardLimit, protocol, hosts, holds } = planOf(run);
  const { workflowId, runId } = workflowInfo();
  for (const host of hosts) {
    const wanted = holds[host] ?? [];
    if (wanted.length === 0) continue;
    run.asked.add(host);
    const { journal, epoch, adopted } = await agent(site, host, { summary: 'claim', withinMs }).claim({
      ...{ protocol, site, host, siteDigest, procedure, workflowId, runId, night, upBy, hardLimit },
      again: run.input.again ?? false,
      holds: wanted,
    });
    run.refs.set(host, { site, host, journal, epoch, siteDigest });
    if (adopted)
      run.warnings.push(`${host} was held by an earlier run of this workflow: its holds were adopted`);
  }
}
