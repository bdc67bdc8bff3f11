/** `tidemark provision`: what has to exist on the broker, from the definitions. */
import { toBicep, toEmulatorConfig } from '../operate/provision.ts'
import { type Command, expectNothing, readArgs, readWord } from './command.ts'
import { planOf, readConfiguration } from './configuration.ts'

const help = `
tidemark provision --print bicep|config

Prints what has to exist on the broker: for each topic of the configuration a topic with duplicate
detection, and a subscription for the gateway and for each declared consumer, with sessions where it is
ordered, and with a rule that passes by what is replayed or redriven for another.

  --print bicep     Bicep for an existing Azure namespace:
                    az deployment group create -g GROUP -f tidemark.bicep -p namespaceName=NAME
  --print config    the Config.json of the emulators
  --config PATH     the configuration (tidemark.config.ts)
`

const options = { print: { type: 'string' }, config: { type: 'string' } } as const

/** `tidemark provision`. */
export const provision: Command = {
  summary: 'print the topics and subscriptions as Bicep or Config.json',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    expectNothing(positionals)
    const format = readWord('--print', values.print, ['bicep', 'config'])
    const configuration = await readConfiguration(values.config, terminal)
    const plan = planOf(configuration)
    const text =
      format === 'bicep'
        ? toBicep(plan)
        : `${JSON.stringify(toEmulatorConfig(plan), undefined, 2)}\n`
    terminal.out(text)
    await configuration.config.broker?.close()
    await configuration.config.log?.close()
    return 0
  },
}
