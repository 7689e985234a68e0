/** What people say, and what tools call it. General words of the trade, so that they serve tools of any server. */
import { stem } from '#runtime/stem.ts';

/** Before the colon what may be asked, behind it what it may be called; without a colon, all of a line for each other. */
const lines = `
delete remove erase drop discard trash purge prune
forget: delete remove purge
create make new add init generate
begin start open launch
end stop close finish terminate
kill stop abort cancel hang stuck freeze loop: interrupt end close
show display view print see look: read get list show
open: read view show
load: read import open
put write save store keep record persist: write store save add record keep
upload: write store import add push ingest
download: read get export fetch clone pull
list: list
find search seek locate look grep lookup where
file document
document text
folder directory path
change edit modify alter adjust replace rewrite fix: edit update replace change write set rename
update refresh upgrade: update set change
rename: move rename
move transfer migrate relocate: move export rename
copy duplicate clone replicate backup mirror
copy same identical double twin redundant: duplicate repeat same
undelete recover unerase: restore undo trash
undo revert rollback restore reset back
lost recover rescue: restore reflog undo history
combine join unite unify consolidate: merge join
split cut break divide separate piece chunk segment part section
shrink shorten compress compact reduce trim condense smaller shrunk
short long huge large big: long size compress compact shorten truncate
big large huge size heavy space room: size space usage
shrink: vacuum
string word term phrase line: text line match contents
checksum digest sha md5 sha256 fingerprint: hash
picture image photo png jpeg screenshot icon gif: image media
sound song music recording: audio media
glob pattern wildcard extension
pdf binary: media
permission allowed allow access touch permit may: allowed permissions roots
patch diff
difference differ compare change contrast versus: diff compare difference
two versions between: diff compare
codebase project source: repository project code files
code base: pack repository directory
prompt: context tokens pack
repository repo git
origin upstream remote
newest latest recent last new: newest latest last
pull sync: pull fetch update
push publish
stage staging index
unstaged uncommitted modified: unstaged status working
commit: commit log
version release: tag version revision
revision commit version
history past earlier previous former: history log former
author wrote written blame who: blame commit
conflict merge
stash shelve park aside away: stash aside
switch: checkout branch
branch: branch
removed added disappeared introduced gone: search history removed
pick: cherry pick
worktree checkout
calculate compute math formula average sum mean deviation plot chart graph: python code run
script program code snippet: code python run
interpreter repl kernel notebook: python session
numpy pandas matplotlib scipy module library installed install dependency: packages python
variable value defined: variables
sandbox: session python
clean fresh scratch again: reset new
table relation sheet
spreadsheet excel csv: csv import export
column field attribute: columns table describe
row record entry tuple: rows
select query statement: query sql select
insert: insert write bulk add
thousand many bulk batch lot several multiple mass: bulk batch many multiple
slow performance speed fast optimise optimize plan: explain plan pressure load top
all none atomic together: transaction batch
transaction atomic
fts: index search
full text: fts index
structure layout schema: schema describe structure tree
postgres postgresql: supabase postgres sql
bucket storage blob s3: storage bucket
link url share: signed url link
policy security secure exposed stranger public leak anyone: policies rls check
user login account sign auth member: users auth
finding conclusion insight learned: insight inference
disk drive storage volume partition: disk file block
full space free left: usage free size
cpu processor core
busy eating hogging consuming consume usage using: top processes usage
slow sluggish lag unresponsive bottleneck: pressure snapshot top anomalies
machine computer host server box system laptop
reboot restart boot crash: uptime started restarts boot
night yesterday history: events history
running alive active up online down healthy: status service state
daemon service unit systemd
service nginx docker ssh cron apache: service status unit
socket port listen
program process task application app
ip network address wifi ethernet: network interfaces addresses
connection socket
hot temperature heat thermal fan: sensors temperatures
ram memory
trend over time day week hour: history over
kernel linux distribution distro os operating: system kernel operating
fleet server up: fleet status
error failure exception fault crash problem bug: errors error
warning severity: level warn
many much number count often frequent rate: count stats how
per: stats by
hour minute day: time
follow tail watch stream live: tail newest
log event message
new novel unusual strange abnormal: new unusual anomalies pattern
request correlation trace
everything all complete: all every whole
old stale: purge older
remember recall memorise memorize: memory remember memories add note
note: note keep add capture
know knew known knowledge: known knowledge memories
tell told said say mention mentioned spoke discussed: memories said search
user conversation chat dialogue: conversation messages memories
person people company organisation organization contact: entities entity
fact observation detail
connected connection linked link relate related relationship between: relations path relation
employer friend parent owner: relation
graph knowledge entities
dump export backup out: export backup
load import bring ingest: import
think thought reason reasoning thinking
reason why rationale: reasoning decision explain
diagram draw picture chart visualise visualize: mermaid diagram export
step: steps numbered
hard difficult complex: problem hard
resume continue pick: resume summary
branch line alternative: branches
token context budget
allowance quota budget limit left remaining: budget check limit
cost price expensive: cost tokens budget
conversation chat dialogue transcript: messages
output result response: output
reference handle id pointer
hand pass give delegate over: handoff
take pick accept left over: handoff accept
agent model assistant colleague
state: snapshot state
return: restore
embedding passage piece: chunk chunks passages
chose choose choice option pick select: decision options choice
sure confident certain confidence trust: calibration confidence
worse better degrade regress quality: drift success better
better best winner beat: compare rank better
test case sample experiment: experiment items
recommend suggest best: recommend
judge grader evaluator agree
outcome result: outcome
strength weakness good bad: strengths
mistake wrong oops accident accidentally: undo restore
correct amend: update edit
prepare brief background before: context
changed modified touched: changed diff status unstaged
change changes: changes
under inside within beneath in: below
path: file
line: lines
png jpg jpeg gif svg: image glob
csv json xml yaml yml: file
fill full capacity: usage free
owner mode size info: info
tree nested recursive recursively: tree below
bundle whole entire: pack whole
compare versus vs: compare diff
upstream server remote: remote fetch
get newest: fetch pull
untracked leftover junk: clean untracked
identify detect: find
shell command run execute: run
value result answer: return
wait waits blocked blocking: pressure
out oom: memory events
swap: memory
battery power voltage: sensors
gpu pci usb device hardware: hardware devices
container docker cgroup quota: limits container
who listens: listening
http https tcp udp: ports connections
stats statistic summary overview: stats summary snapshot
overview health dashboard: snapshot status
warn warnings info debug level: level
journal journald syslog: journal logs
grafana loki logql label: loki
timeline timestamp when: time
secret password key: secrets
auth login: users
migration version: migrations
extension plugin: extensions
function procedure rpc stored: functions rpc
api rest endpoint http: rest request
foreign primary key: keys describe
index slow: explain index
commit atomically: transaction commit
save keep permanent durable: commit store
abort cancel: rollback interrupt abort
cheaper cheap latency fast: cost latency
accuracy accurate correct right: success calibration
reliable reliability dependable: success profile calibration
over time: history drift trend
variant: compare
significant significance interval: compare
elo rating leaderboard ranking: rank ratings
benchmark evaluation eval: battles compare
report html page: report
reflect reflection doubt: reflection
conclude conclusion infer: inference
assumption premise: premises inference
otlp opentelemetry span: trace otlp
openai anthropic gemini claude gpt api: import messages
later future: remember keep handoff
reason carefully careful deliberate ponder: think thinking thought sequentialthinking
overwrite replace: write replace
content contents: text
discard throw: restore reset drop discard
edit edits: changes
add: add alter insert
alter column: alter statements
database db: databases
everything: all list
running runs run: processes run
task job: process task
should ought advise: recommend
use choose take: recommend
suit suitable fit: recommend
answer: outcome answer
successor whoever colleague: handoff
structure hierarchy layout: tree
modified created accessed: times info
ends end named called: glob
limited limit restricted restrict cap: limits
update: update write
preference habit: memory add
deduplicate duplicate: dedupe duplicates
checkpoint: snapshot
evaluate expression arithmetic: run code
join sql: query read
group cluster similar: patterns kinds
prediction predict forecast: decision record
log: record
`;

/** Words that mean something else together, wherever they stand in a question; `+` joins what is asked for at once. */
const togetherLines = `
open+file read+file see+file: read + text
take+back: undo restore
too+long too+big too+large: compact compress truncate
pick+up: accept resume
start+over start+again: reset
put+away put+aside set+aside: stash store
is+run is+up is+down: status
what+change: diff
who+wrote who+write who+author: blame
who+change: history
how+many: count stats
how+much: usage size check
how+large how+big: size
how+connect how+relate: find + path
free+up: purge delete clean vacuum
look+like: show
how+look: show
in+use: listening backup
find+out: insight
write+down: append add record capture
same+person same+thing: merge
step+step: sequential thinking
at+once: batch bulk multiple
all+none: transaction batch
go+wrong went+wrong: errors
run+out ran+out: memory events
sign+in log+in: auth users
as+of at+version in+version: show revision
keep+later keep+mind bear+mind: remember
recall+about know+about known+about remember+about: memories + search
find+database: list + databases
add+column drop+column alter+table drop+table: execute + sql
overwrite+file replace+file: write + file
discard+edit discard+change throw+change: restore + git
list+run what+run: list + processes
which+model what+model: recommend
reason+careful think+careful: sequentialthinking
project+structure folder+structure directory+structure: directory + tree
when+file date+file: info + file
file+end file+name file+extension find+file look+file: search + files
update+row change+row delete+row update+table: write + query
whoever+continue someone+continue other+continue: handoff
limit+container limit+memory limit+process: limits
history+file history+commit file+log: git + log
store+preference user+preference: add + memory
chain+thought: session + export
select+join sql+join sql+select: read + query
math+expression evaluate+expression: python + run
`;

/** Each text before the colon, as terms that belong together, with what stands behind it. */
const entries = (text: string) =>
  text
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [asked = '', said = asked] = line.split(':').map((part) => part.trim());
      return asked.split(' ').map((one) => ({ asked: one.split('+').map(stem), said }));
    });

const stems = (text: string) => text.trim().split(' ').map(stem);

const byTerm = new Map<string, Set<string>>();
for (const { asked, said } of entries(lines)) {
  const [term = ''] = asked;
  byTerm.set(term, new Set([...(byTerm.get(term) ?? []), ...stems(said)]));
}
const together = entries(togetherLines).map(({ asked, said }) => ({
  asked,
  said: said.split('+').map(stems),
}));

/** Terms that may stand for this one; it may be among them. */
export function related(term: string): readonly string[] {
  return [...(byTerm.get(term) ?? [])];
}

/** What the words of a question ask for together: each a choice of terms. */
export function relatedTogether(terms: ReadonlySet<string>): readonly (readonly string[])[] {
  return together.filter(({ asked }) => asked.every((term) => terms.has(term))).flatMap(({ said }) => said);
}
