/**
 * Questions as people and models ask them, each with the tools that would be right, as SERVICE.TOOL. All were written before they were
 * ranked for the first time.
 */

/** The ranking was tuned on one half; the other half, behind `-`, was only measured, and must stay so. */
const hundred = `
remember that I prefer tabs over spaces > memory.add_memory
everything we know about the billing project before I begin > memory.build_context
two people in the graph are the same person, combine them > memory.merge_entities
how is Alice connected to the payments team > memory.find_path
link Bob to Acme as his employer > memory.create_relations
- what did the user tell me last week about the trip to Lisbon > memory.search_memories
- I deleted the wrong memory, take it back > memory.undo
- who changed this fact and when > memory.get_history
- forget what I said about my salary > memory.delete_memories memory.delete_observations
- dump the knowledge graph to move it to another machine > memory.export_graph
think step by step about a hard problem > sequential-thinking.sequentialthinking
draw my thoughts as a diagram > sequential-thinking.export_session reasoning-capture.export_reasoning
which branches of my thinking are still open > sequential-thinking.get_summary
- find the thought where I mentioned the cache > sequential-thinking.search_thoughts
- compare two lines of thought > sequential-thinking.compare_branches
- resume the thinking session from yesterday > sequential-thinking.get_summary sequential-thinking.list_sessions sequential-thinking.get_session
how many tokens is this prompt > context.count_tokens
hand the work over to another agent > context.create_handoff
this tool output is huge, keep it somewhere and give me a reference > context.store_output
split a document into pieces for embedding > context.chunk_text
what do my MCP tools cost in tokens > context.measure_tools
what changed between the two saved states > context.diff_snapshots
- the conversation is too long, shrink it > context.compact_messages
- pick up the task that the other agent left for me > context.accept_handoff context.list_handoffs
- save my working state so I can return to it > context.save_snapshot
- look for an error in the output I stored earlier > context.grep_output
- how much of my token allowance is left > context.check_budget
- shorten this build log > context.compress_output
open the file config.yaml > filesystem.read_text_file
where in the project is the string TODO > filesystem.search_file_contents git.git_grep
undelete a file > filesystem.restore_file
rename a file > filesystem.move_file git.git_mv
which files are copies of each other > filesystem.find_duplicates
show me the screenshot > filesystem.read_media_file
which folders am I allowed to touch > filesystem.list_allowed_directories
- change one line in a source file > filesystem.edit_file
- find all png images under assets > filesystem.search_files
- how large is the node_modules folder > filesystem.get_folder_size
- sha256 checksum of an iso > filesystem.get_file_hash
- apply this patch > filesystem.apply_patch
- lines 200 to 260 of server.ts > filesystem.read_file_lines
- put the whole code base into one prompt > filesystem.pack_directory
who wrote this line > git.git_blame
undo the last commit but keep history > git.git_revert
when was this function removed from the code > git.git_search_history
make a release tag v1.2.0 > git.git_tag
switch to the develop branch > git.git_checkout
how did the README look in version 1.0 > git.git_show_file git.git_show
stage all files > git.git_add
- what have I changed since the last commit > git.git_diff_unstaged git.git_status git.git_diff
- put my changes away for a moment > git.git_stash
- get the newest changes from origin > git.git_pull git.git_fetch
- which files have merge conflicts > git.git_conflicts
- I lost a commit after a hard reset > git.git_reflog
- download a repository from a URL > git.git_clone
- take one commit from another branch > git.git_cherry_pick
calculate the standard deviation of these numbers with code > python.run_python_code
is numpy installed > python.list_python_packages
what variables are defined right now in my session > python.get_python_variables
- stop the script that hangs > python.interrupt_python
- upload a csv into the sandbox so that my script can read it > python.write_python_file
- start over with a clean interpreter > python.reset_python_session
run a select on my sqlite file > sqlite.read_query
load a spreadsheet csv into a table > sqlite.import_csv
which columns has the orders table > sqlite.describe_table
shrink the database file > sqlite.vacuum_database
write down what I found out about the data > sqlite.append_insight
- insert thousands of rows > sqlite.bulk_insert sqlite.import_csv
- why is this query slow > sqlite.explain_sql supabase.explain_sql
- several updates that must all succeed or none > sqlite.execute_batch sqlite.begin_transaction
- make text search over articles in sqlite > sqlite.create_fts_index
- make a copy of the database while it is in use > sqlite.backup_database
is the disk full > system-info.get_disk_usage
why is this machine slow > system-info.get_system_snapshot system-info.get_pressure system-info.get_top_processes system-info.find_anomalies
did the machine reboot last night > system-info.get_uptime_events
is nginx running > system-info.get_service_status system-info.list_services
are all servers of the fleet up > system-info.get_fleet_status
what is my ip address > system-info.get_network_interfaces
- what is eating my CPU > system-info.get_top_processes
- which program listens on port 8080 > system-info.get_listening_ports
- how hot is the processor > system-info.get_sensors
- memory use over the last day > system-info.get_metrics_history
- kernel version and distribution > system-info.get_system_information
show the latest errors > logging.get_errors
follow new log lines as they arrive > logging.tail_logs
which errors are new today > logging.find_error_pattern_logs
- search the logs for timeout > logging.search_logs
- everything that happened in one request, by its trace id > logging.get_trace
- how many warnings per hour > logging.get_log_stats
- delete old log lines > logging.purge_logs
read rows from my postgres table > supabase.select_rows supabase.execute_sql
share a file from the bucket with a link > supabase.create_signed_url
- is my supabase project open to strangers > supabase.rls_check
- who can sign in to my app > supabase.list_auth_users
note why the model chose option B > reasoning-capture.capture_decision_point
- bring in the thinking of a conversation with the Anthropic API > reasoning-capture.import_trace
is the model as sure as it should be > model-profile.get_calibration
- has the model become worse since the update > model-profile.detect_drift
which of the two models is better > comparative-intelligence.compare_models
- how many test cases do I need to see a difference > comparative-intelligence.plan_experiment
`;

/**
 * Written when the hundred were found, to see what a new question meets: of the three parts of 40 each, 31, 34 and 31 had a right tool
 * among the first five before the related words were extended by them.
 */
const later = `
keep this for later: our deploys happen on Tuesdays > memory.add_memory
do you recall anything about the server migration > memory.search_memories memory.build_context memory.search_nodes
this entity has the wrong name > memory.rename_entity
how much is stored in memory overall > memory.memory_stats
import the file of the official memory server > memory.import_graph
delete a session of thoughts > sequential-thinking.delete_session
let me reason carefully before I answer > sequential-thinking.sequentialthinking
cut this text to 500 tokens > context.truncate_to_budget
get rid of repeated paragraphs > context.dedupe
set a limit of 50k tokens for the team > context.set_budget
pick the passages that answer my question from these documents > context.assemble_context context.rank_passages
roll back to the earlier snapshot > context.restore_snapshot
create a new folder > filesystem.create_directory
append a line to the changelog > filesystem.append_file
what is in this directory > filesystem.list_directory filesystem.list_directory_with_sizes filesystem.directory_tree
empty the trash or see what is in it > filesystem.list_trash
delete the temp file > filesystem.delete_file
overwrite the file with new content > filesystem.write_file
commit my work with a message > git.git_commit
show the last ten commits > git.git_log
create a feature branch > git.git_create_branch
discard my edits to this file > git.git_restore git.git_checkout
add a remote called upstream > git.git_remote
merge main into my branch > git.git_merge
execute a python snippet > python.run_python_code
read the result file that my python code wrote > python.read_python_file
add a column to a table > sqlite.execute_sql sqlite.write_query supabase.execute_sql
save query results as csv > sqlite.export_csv
which tables are there > sqlite.list_tables supabase.list_tables
find database files on this machine > sqlite.list_databases
how much RAM is free > system-info.get_memory_information
list everything that runs on this machine > system-info.list_processes system-info.get_top_processes
what does process 4242 do > system-info.get_process_info
read the journal of the ssh unit > system-info.get_service_logs logging.get_journal_logs
send my application's log lines to the store > logging.ingest_logs logging.write_log
export the logs of yesterday > logging.export_logs
call a stored procedure in supabase > supabase.call_rpc
export a chain of reasoning as markdown > reasoning-capture.export_reasoning
record that the model answered correctly > model-profile.resolve_outcome model-profile.record_decision
which model should I use for summaries > comparative-intelligence.recommend_model
store the fact that Maria leads the design team > memory.add_memory memory.create_entities memory.add_observations memory.create_relations
what was decided about pricing in earlier talks > memory.search_memories memory.build_context
read one entity by its exact name > memory.open_nodes
remove the relation between two entities > memory.delete_relations
the newest things that were remembered > memory.list_memories
wipe deleted things for good so that my quota is free > memory.purge_history
list my earlier thinking sessions > sequential-thinking.list_sessions
begin a session with a title for this analysis > sequential-thinking.start_session
read the output that I stored, page by page > context.read_output
what would this JSON result look like if it were shorter > context.compress_output
write a summary of where I am for whoever continues > context.create_handoff
take 2000 tokens from the budget > context.consume_budget
show the project structure > filesystem.directory_tree filesystem.list_directory
copy a folder with everything in it > filesystem.copy_file
when was this file last modified > filesystem.get_file_info
read three files in one go > filesystem.read_multiple_files
replace a function in a source file > filesystem.edit_file
look for files that end in .test.ts > filesystem.search_files
which branch am I on > git.git_status git.git_branch
diff between main and my feature branch > git.git_diff
unstage a file > git.git_reset git.git_restore
search the tracked code for a regular expression > git.git_grep filesystem.search_file_contents
new repository in an empty folder > git.git_init
delete untracked files > git.git_clean
start a python session that keeps its variables > python.create_python_session
which python sessions are open > python.list_python_sessions
update a row in a sqlite table > sqlite.write_query sqlite.execute_sql
most frequent values of a column > sqlite.analyze_table
is my database damaged > sqlite.database_info sqlite.open_database
undo the changes of an open transaction > sqlite.rollback_transaction
how many cores does this host have > system-info.get_cpu_information
what did the host do unusually in the last hour > system-info.find_anomalies system-info.get_system_snapshot
which disks and partitions are there > system-info.list_block_devices
am I limited by a container > system-info.get_cgroup_limits
which sources send logs > logging.list_log_sources
last lines of /var/log/app.log > logging.read_log_file
read a file of a supabase bucket > supabase.download_storage_object
log one step of my reasoning > reasoning-capture.capture_reasoning_step
success rate of a model last month > model-profile.get_profile
rank all models by their battles > comparative-intelligence.rank_models
store user preference long term > memory.add_memory memory.memory memory.add_observations memory.create_entities
search previous conversations > memory.search_memories memory.build_context
knowledge graph neighbours of a node > memory.open_nodes memory.build_context memory.search_nodes
correct the text of one memory > memory.update_memory
revert a graph change > memory.undo
structured multi-step reasoning > sequential-thinking.sequentialthinking
back up my chain of thoughts to a file > sequential-thinking.export_session
token count of messages for gpt > context.count_tokens
deduplicate search results > context.dedupe
fit the chat history into 8000 tokens > context.compact_messages context.truncate_to_budget
regex over a stored output > context.grep_output
checkpoint of the work > context.save_snapshot
list files in a folder > filesystem.list_directory filesystem.list_directory_with_sizes filesystem.directory_tree
view an svg > filesystem.read_media_file filesystem.read_text_file
free disk space in the workspace folder > filesystem.get_folder_size system-info.get_disk_usage
replace text in file > filesystem.edit_file
file permissions and owner > filesystem.get_file_info
git history of one file > git.git_log
rename branch or tag list > git.git_tag git.git_branch
files changed between two tags > git.git_diff_stat git.git_diff
abort the merge > git.git_merge git.git_conflicts git.git_reset
stash pop > git.git_stash
evaluate a math expression > python.run_python_code
data analysis with pandas > python.run_python_code python.list_python_packages
cancel running code > python.interrupt_python
sql join over two tables of a local database > sqlite.read_query
schema dump of the database > sqlite.export_schema
query plan > sqlite.explain_sql supabase.explain_sql
disk io wait > system-info.get_pressure
restart count of a systemd service > system-info.get_service_status
established tcp connections > system-info.get_network_connections
load average > system-info.get_cpu_information system-info.get_system_snapshot
logs of the memory service since midnight > logging.search_logs
group similar log lines > logging.query_loki_patterns
lower the log level of a service > logging.set_log_level
row level security policies > supabase.list_policies supabase.rls_check
postgres extensions installed > supabase.list_extensions
close the chain of reasoning > reasoning-capture.end_chain
log a prediction with its confidence > model-profile.record_decision
statistical power of an a/b test > comparative-intelligence.plan_experiment
`;

/** Written last, and never tuned with: what a new question meets. */
const unseen = `
save that our office is in Hamburg > memory.add_memory memory.create_entities memory.add_observations memory.memory
have we talked about the tax question before > memory.search_memories memory.build_context
combine duplicates in the knowledge graph > memory.merge_entities
show all entities > memory.read_graph memory.search_nodes
take notes as text files > memory.memory
plan a refactoring in steps > sequential-thinking.sequentialthinking
read what I thought in the session > sequential-thinking.get_session sequential-thinking.get_summary
will this text fit into the window > context.check_budget context.count_tokens
which outputs did I store > context.list_outputs
get the state of the working memory back from the checkpoint > context.restore_snapshot
list open handoffs > context.list_handoffs
remove near-identical paragraphs > context.dedupe
print the first 20 lines of a log file > filesystem.read_text_file logging.read_log_file filesystem.read_file_lines
move a directory somewhere else > filesystem.move_file
find out how big each subfolder is > filesystem.get_folder_size filesystem.list_directory_with_sizes
create a new markdown document > filesystem.write_file
search for a regular expression in all ts files > filesystem.search_file_contents git.git_grep
list commits of an author > git.git_log
show the diff of a commit > git.git_show git.git_diff
delete a tag > git.git_tag
which files are not tracked > git.git_status git.git_ls_files git.git_clean
fetch from the remote > git.git_fetch git.git_pull
run this code and give me the result > python.run_python_code
make a histogram of these values > python.run_python_code
files that my python session wrote > python.list_python_files
create a table with three columns > sqlite.create_table sqlite.execute_sql sqlite.write_query
count the rows grouped by month > sqlite.read_query supabase.execute_sql
start a transaction > sqlite.begin_transaction
swap usage > system-info.get_memory_information
network traffic per interface > system-info.get_network_interfaces
is postgres.service enabled and active > system-info.get_service_status system-info.list_services
temperature of the cpu over the last hours > system-info.get_metrics_history
what went wrong in the last ten minutes > logging.get_errors logging.search_logs logging.find_error_pattern_logs
lines with status 500 from nginx > logging.search_logs logging.query_loki_logs
how noisy is each service > logging.get_log_stats
download the log lines as csv > logging.export_logs
which storage buckets exist > supabase.list_buckets
document that the model doubted its own answer > reasoning-capture.capture_reflection
how often was the model right in classification tasks > model-profile.get_profile
do the human judges agree > comparative-intelligence.judge_agreement
`;

export interface Question {
  readonly text: string;
  readonly right: readonly string[];
  /** Whether the ranking was tuned with it. */
  readonly isTuned: boolean;
}

const parsed = (lines: string): readonly Question[] =>
  lines
    .trim()
    .split('\n')
    .map((line) => {
      const [text = '', right = ''] = line.replace(/^- /, '').split(' > ');
      return { text, right: right.split(' '), isTuned: !line.startsWith('- ') };
    });

export const questions = parsed(hundred);
export const laterQuestions = parsed(later);
export const unseenQuestions = parsed(unseen);
