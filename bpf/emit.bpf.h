/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Puts records into the rings and counts what they refuse (a ring itself counts nothing). */
#ifndef PODTAP_EMIT_BPF_H
#define PODTAP_EMIT_BPF_H

/*
 * A tap's share of a ring that fills up, as a multiple of what is free: see pt_has_share(). Records
 * without payload are small and end connections, or tell of many segments: they get twice as much.
 */
#define PT_PAYLOAD_SHARE 2
#define PT_BARE_SHARE	 4

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
 * Index of the connection's ring. The key tells local from remote and not source from destination,
 * so both directions have the same ring.
 */
static __always_inline __u64 pt_ring_of(const struct pt_connection_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 hash = 0;

#pragma unroll
	for (unsigned int i = 0; i < sizeof(*key) / sizeof(*words); i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (hash & 0xffffffff) * pt_rings >> 32;
}

/* The connection's ring; null is for the verifier. */
static __always_inline void *pt_get_ring(const struct pt_work *work)
{
	__u32 index = work->ring;

	return bpf_map_lookup_elem(&rings, &index);
}

/*
 * Whether the tap may put a record into the ring; looks how full that is. Once the ring is half
 * full, a tap may hold `share` times what is still free. So what is free never runs out: one busy
 * tap stops at 2/3 of the ring, two at 2/5 each, n at 2/(2n + 1) each; and a quiet tap, which holds
 * less, always finds room. Nobody has to know how many taps are busy.
 */
static __always_inline int pt_has_share(struct pt_work *work, void *ring, __u64 share)
{
	__u32 account = PT_RING_ACCOUNT(work->ring, work->key.tap);
	__u64 *put, *taken;
	__s64 held;

	work->waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	if (work->waiting <= pt_pressure_bytes)
		return 1;
	put = bpf_map_lookup_elem(&ring_put, &account);
	taken = bpf_map_lookup_elem(&ring_taken, &account);
	if (!put || !taken)
		return 1;
	/* Below 0 when the reader was faster than the counting of what it read. */
	held = *put - *taken;
	return held <= (__s64)(share * (pt_ring_bytes - work->waiting));
}

/*
 * Submits the record with `payload_bytes` bytes after its header; comes after pt_has_share(). Wakes
 * user space each time another pt_wakeup_bytes have gathered; below that it polls. Returns 0, or an
 * error when the ring is full.
 */
static __always_inline long pt_submit(struct pt_work *work, void *ring, __u64 payload_bytes)
{
	__u32 account = PT_RING_ACCOUNT(work->ring, work->key.tap);
	__u64 size = sizeof(struct pt_record) + payload_bytes;
	__u64 wakeup = BPF_RB_NO_WAKEUP;
	__u64 *put;

	/* A bit above those below pt_wakeup_bytes changes. */
	if ((work->waiting ^ (work->waiting + size)) >= pt_wakeup_bytes)
		wakeup = BPF_RB_FORCE_WAKEUP;
	/* Bounded right before its use: 6.1 forgets what it knew of a number that was spilled. */
	asm volatile("" : "+r"(size));
	if (size > sizeof(struct pt_record) + PT_MAX_COPY_BYTES)
		return -1;
	if (bpf_ringbuf_output(ring, &work->record, size, wakeup))
		return -1;
	put = bpf_map_lookup_elem(&ring_put, &account);
	if (put)
		__sync_fetch_and_add(put, PT_RING_BYTES(size));
	pt_count(work, PT_TALLY_RECORDS, size);
	return 0;
}

/*
 * Puts a value in place of another at once, and returns that one. Linux 5.12; by hand, since clang
 * offers it only together with 32-bit arithmetic, of which old verifiers know less.
 */
static __always_inline __u64 pt_exchange(__u64 *word, __u64 value)
{
	/* lock *(u64 *)(r1 + 0) <-> r2: opcode, registers, offset, BPF_XCHG */
	const __u64 instruction = 0x000000e1000021dbULL;
	__u64 old;

	asm volatile("r1 = %[word]\n"
		     "r2 = %[value]\n"
		     ".8byte %[instruction]\n"
		     "%[old] = r2\n"
		     : [old] "=r"(old)
		     : [word] "r"(word), [value] "r"(value), [instruction] "i"(instruction)
		     : "r1", "r2", "memory");
	return old;
}

/* Reports a run of segments without copy. */
__noinline int pt_report_run(__u64 run, __u64 direction)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection *connection;
	struct pt_direction_state *state;
	struct pt_record *record;
	void *ring;

	if (!work)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	ring = pt_get_ring(work);
	if (!connection || !ring)
		return 0;
	state = pt_state(connection, direction);
	record = &work->record;
	pt_fill(record, &work->key, connection, direction);
	record->flags |= PT_FLAG_COALESCED;
	record->time_ns = state->run_time_ns;
	record->seq = PT_RUN_SEQ(run);
	record->payload_len = PT_RUN_END(run) - PT_RUN_SEQ(run);
	state->reported_ns = record->time_ns;
	if (!pt_has_share(work, ring, PT_BARE_SHARE) || pt_submit(work, ring, 0))
		pt_count(work, PT_TALLY_RUNS_LOST, record->payload_len);
	return 0;
}

/* Whoever takes a run out reports it: another processor may be at it too. */
static __always_inline void pt_flush_run(struct pt_direction_state *state, __u64 direction)
{
	__u64 run = state->run ? pt_exchange(&state->run, 0) : 0;

	if (run)
		pt_report_run(run, direction);
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
	pt_flush_run(&connection->direction[PT_FROM_POD], PT_FROM_POD);
	pt_flush_run(&connection->direction[PT_TO_POD], PT_TO_POD);
	return 0;
}

/* Whether there is nothing between the two: a head may be, that was copied. */
static __always_inline int pt_runs_touch(__u64 a, __u64 b)
{
	return (__s32)(PT_RUN_SEQ(a) - PT_RUN_END(b)) <= 0 &&
	       (__s32)(PT_RUN_SEQ(b) - PT_RUN_END(a)) <= 0;
}

/*
 * Adds [seq, end) to the pending run, or reports that one and begins another. Segments come in any
 * order, and at one time on several processors: what is found in the pending run's place when ours
 * is put there is another processor's, and reported.
 */
static __always_inline void pt_extend_run(struct pt_work *work, struct pt_direction_state *state,
					  __u32 seq, __u32 end)
{
	__u64 pending = state->run ? pt_exchange(&state->run, 0) : 0;

	if (pending && !pt_runs_touch(pending, PT_RUN(seq, end))) {
		pt_report_run(pending, work->packet.direction);
		pending = 0;
	}
	if (pending && (__s32)(PT_RUN_SEQ(pending) - seq) < 0)
		seq = PT_RUN_SEQ(pending);
	if (pending && (__s32)(PT_RUN_END(pending) - end) >= 0)
		end = PT_RUN_END(pending);
	else
		state->run_time_ns = work->now;
	pending = pt_exchange(&state->run, PT_RUN(seq, end));
	if (pending)
		pt_report_run(pending, work->packet.direction);
}

/*
 * Reports the first bytes of the payload, at most PT_HEAD_COPY_BYTES, and takes them off. Returns
 * PT_COUNT_REASONS, or the reason why the rest of the packet is lost. Under pressure nothing is
 * done unless it is `urgent`.
 */
__noinline int pt_report_part(struct __sk_buff *skb, __u64 length, __u32 urgent)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection *connection;
	struct pt_direction_state *state;
	struct pt_record *record;
	void *ring;

	if (!work || length > work->packet.payload_len)
		return PT_COUNT_READ_FAILED;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	if (!connection)
		return PT_COUNT_TABLE_FULL;
	ring = pt_get_ring(work);
	if (!ring)
		return PT_COUNT_RING_FULL;
	if (!pt_has_share(work, ring, PT_PAYLOAD_SHARE))
		return PT_COUNT_FAIR_SHARE;
	if (!urgent && work->waiting > pt_pressure_bytes)
		return PT_COUNT_REASONS;
	/* The verifier must see 1 <= length <= PT_HEAD_COPY_BYTES in the register it uses. */
	length = ((length - 1) & (PT_HEAD_COPY_BYTES - 1)) + 1;
	if (!work->loaded && bpf_skb_load_bytes(skb, work->packet.payload, work->payload, length))
		return PT_COUNT_READ_FAILED;
	work->loaded = 0;
	record = &work->record;
	pt_fill(record, &work->key, connection, work->packet.direction);
	record->time_ns = work->now;
	record->seq = work->packet.seq;
	record->payload_len = length;
	record->head_len = length;
	if (pt_submit(work, ring, length))
		return PT_COUNT_RING_FULL;
	state = pt_state(connection, work->packet.direction);
	state->reported_ns = work->now;
	if (work->beginning.is_request | work->beginning.is_response)
		state->copied = 0;
	state->copied += length;
	work->beginning.is_request = 0;
	work->beginning.is_response = 0;
	work->packet.payload += length;
	work->packet.payload_len -= length;
	work->packet.seq += length;
	return PT_COUNT_REASONS;
}

#endif
