/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Puts records into the ring and counts what it refuses (the ring itself counts nothing). */
#ifndef PODTAP_EMIT_BPF_H
#define PODTAP_EMIT_BPF_H

/* Everything of the header but seq, lengths, time and TCP flags. */
static __always_inline void pt_fill(struct pt_record *record, const struct pt_connection_key *key,
				    const struct pt_connection *connection, __u64 direction)
{
	record->opened_ns = connection->opened_ns;
	__builtin_memcpy(record->local_addr, key->local_addr, 16);
	__builtin_memcpy(record->remote_addr, key->remote_addr, 16);
	record->tap = key->tap;
	record->generation = key->generation;
	record->isn[0] = connection->isn[0];
	record->isn[1] = connection->isn[1];
	record->local_port = key->local_port;
	record->remote_port = key->remote_port;
	record->direction = direction;
	record->flags = connection->flags;
	record->tcp_flags = 0;
	record->head_len = 0;
	record->tail_len = 0;
	record->pad = 0;
}

/*
 * Submits the record with `payload_bytes` bytes after its header. Wakes user space each time
 * another pt_wakeup_bytes have gathered; below that it polls. Returns 0, or an error when the ring
 * is full.
 */
static __always_inline long pt_submit(struct pt_work *work, __u64 payload_bytes)
{
	__u64 size = sizeof(struct pt_record) + payload_bytes;
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	__u64 wakeup = BPF_RB_NO_WAKEUP;

	if (waiting / pt_wakeup_bytes != (waiting + size) / pt_wakeup_bytes)
		wakeup = BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_output(&ring, &work->record, size, wakeup))
		return -1;
	pt_count(work->key.tap, PT_TALLY_RECORDS, size);
	return 0;
}

static __always_inline void pt_flush_run(struct pt_work *work,
					 const struct pt_connection *connection,
					 struct pt_direction_state *state, __u64 direction)
{
	struct pt_record *record = &work->record;

	if (!state->has_run)
		return;
	state->has_run = 0;
	state->reported_ns = state->run_time_ns;
	pt_fill(record, &work->key, connection, direction);
	record->flags |= PT_FLAG_COALESCED;
	record->time_ns = state->run_time_ns;
	record->seq = state->run_seq;
	record->payload_len = state->run_end - state->run_seq;
	if (pt_submit(work, 0))
		pt_count(work->key.tap, PT_TALLY_RUNS_LOST, record->payload_len);
}

/* Reports the pending runs of segments without copy, of both directions. */
__noinline int pt_flush_runs(void)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection *connection;

	if (!work)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	if (!connection)
		return 0;
	pt_flush_run(work, connection, &connection->direction[PT_FROM_POD], PT_FROM_POD);
	pt_flush_run(work, connection, &connection->direction[PT_TO_POD], PT_TO_POD);
	return 0;
}

/* Adds [seq, end) to the pending run. */
static __always_inline void pt_extend_run(struct pt_direction_state *state, __u32 seq, __u32 end,
					  __u64 now)
{
	if (!state->has_run) {
		state->has_run = 1;
		state->run_seq = seq;
		state->run_end = end;
		state->run_time_ns = now;
	} else if ((__s32)(end - state->run_end) > 0) {
		state->run_end = end;
		state->run_time_ns = now;
	}
}

#endif
