-- Writes, as a disk that is full or a replica would not let it.
call('HINCRBY', META, 'probes', 1)
return 1
