/** A build whose workflow task fails for ever: an error that is no failure of the workflow. */
export async function procedure(): Promise<never> {
  throw new Error('this build is broken (chaos)');
}
