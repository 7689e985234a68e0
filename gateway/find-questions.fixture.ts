/**
 * Questions as people and models ask them, each with the tools that would be right, as SERVICE.TOOL. Written before anything was ranked. The
 * ranking was tuned on the first half of each service's; the other half, behind `-`, was only measured, and must stay so.
 */
const lines = `
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

export interface Question {
  readonly text: string;
  readonly right: readonly string[];
  /** Whether the ranking was tuned with it. */
  readonly isTuned: boolean;
}

export const questions: readonly Question[] = lines
  .trim()
  .split('\n')
  .map((line) => {
    const [text = '', right = ''] = line.replace(/^- /, '').split(' > ');
    return { text, right: right.split(' '), isTuned: !line.startsWith('- ') };
  });
