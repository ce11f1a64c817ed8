import { browserProblem } from './browser.js'

/** Without a browser the command ends with this line, not with a failure of each test. */
export default function setup() {
  if (browserProblem === undefined) return
  console.error(browserProblem)
  process.exit(1)
}
