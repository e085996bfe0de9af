// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The shared socket filter: walk, decide, copy, count. Returns 0 always, so that the kernel queues
 * nothing on the socket; it can't touch the packet.
 *
 * Loads under the strict verifier (CAP_BPF without CAP_PERFMON): no variable offset into stack or
 * map values, no bpf_printk, no rolled loops that call.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "capture_abi.h"
#include "maps.bpf.h"
#include "headers.bpf.h"
#include "emit.bpf.h"
#include "connection.bpf.h"
#include "body.bpf.h"

/* Copied bytes of one direction, since its last head, above which feedback is looked up. */
#define PT_FEEDBACK_BYTES PT_UNDECIDED_BYTES
/* Under pressure: bytes copied from the beginning of a body segment, and the least worth it. */
#define PT_PRESSURE_HEAD_BYTES 128
#define PT_PRESSURE_MIN_BYTES  256

/*
 * Takes off the front of the packet what user space does not want, and adds it to the pending run.
 * Returns whether a run is to be flushed.
 */
__noinline int pt_take_skipped(void)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection *connection;
	struct pt_direction_state *state;
	struct pt_feedback *known;
	__u64 direction;
	__u32 until;
	__s32 ahead;

	if (!work)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	known = bpf_map_lookup_elem(&feedback, &work->key);
	if (!connection || !known || known->opened_ns != connection->opened_ns)
		return 0;
	if (known->verdict == PT_HTTP)
		connection->verdict = PT_HTTP;
	direction = work->packet.direction;
	if (!pt_by_direction(direction, known->has_skip[0], known->has_skip[1]))
		return 0;
	until = pt_by_direction(direction, known->skip_until[0], known->skip_until[1]);
	ahead = until - (__u32)work->packet.seq;
	state = pt_state(connection, direction);
	if (ahead <= 0) {
		/* Behind us; left in place it would mean something again after 2 GiB. */
		pt_forget_skip(known, direction);
		/* A run is pending still when the segment across the target is late or lost. */
		return state->run != 0;
	}
	return pt_take_off(work, state, ahead) | !!work->packet.payload_len;
}

/*
 * Copies the payload behind the record: whole when it is short, else its beginning and its end.
 * Returns the reason to count the packet under when the ring takes it.
 */
__noinline int pt_copy(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	__u64 offset, length, tail, starts_message;

	if (!work)
		return PT_COUNT_READ_FAILED;
	offset = work->packet.payload;
	length = work->packet.payload_len;
	tail = offset + length - PT_TAIL_BYTES;
	starts_message =
		work->beginning.is_request | work->beginning.is_response | work->beginning.hello;
	work->record.tail_len = 0;
	if (!starts_message && length > PT_PRESSURE_MIN_BYTES &&
	    work->waiting > pt_pressure_bytes) {
		if (bpf_skb_load_bytes(skb, offset, work->payload, PT_PRESSURE_HEAD_BYTES) ||
		    bpf_skb_load_bytes(skb, tail, work->payload + PT_PRESSURE_HEAD_BYTES,
				       PT_TAIL_BYTES))
			return PT_COUNT_READ_FAILED;
		work->record.head_len = PT_PRESSURE_HEAD_BYTES;
		work->record.tail_len = PT_TAIL_BYTES;
		return PT_COUNT_SAMPLED;
	}
	if (length <= pt_capture_bytes ||
	    ((starts_message | work->whole) && length <= PT_HEAD_COPY_BYTES)) {
		/* The verifier must see 1 <= length <= PT_HEAD_COPY_BYTES in the register it uses.
		 */
		length = ((length - 1) & (PT_HEAD_COPY_BYTES - 1)) + 1;
		if (!work->loaded && bpf_skb_load_bytes(skb, offset, work->payload, length))
			return PT_COUNT_READ_FAILED;
		work->record.head_len = length;
		return PT_COUNT_COPIED;
	}
	if (starts_message) {
		if (bpf_skb_load_bytes(skb, offset, work->payload, PT_HEAD_COPY_BYTES) ||
		    bpf_skb_load_bytes(skb, tail, work->payload + PT_HEAD_COPY_BYTES,
				       PT_TAIL_BYTES))
			return PT_COUNT_READ_FAILED;
		work->record.head_len = PT_HEAD_COPY_BYTES;
	} else {
		if (bpf_skb_load_bytes(skb, offset, work->payload, pt_capture_bytes) ||
		    bpf_skb_load_bytes(skb, tail, work->payload + pt_capture_bytes, PT_TAIL_BYTES))
			return PT_COUNT_READ_FAILED;
		work->record.head_len = pt_capture_bytes;
	}
	work->record.tail_len = PT_TAIL_BYTES;
	return PT_COUNT_SAMPLED;
}

/* The reason to count a payload of the connection under that went into the ring for `reason`. */
static __always_inline int pt_reason_of(const struct pt_connection *connection, int reason)
{
	if (connection->kind)
		return connection->kind;
	return connection->verdict == PT_UNDECIDED ? PT_COUNT_EXAMINED : reason;
}

/* Whether the ring took any record of the connection. */
static __always_inline int pt_is_reported(const struct pt_connection *connection)
{
	return connection->direction[PT_FROM_POD].reported_ns ||
	       connection->direction[PT_TO_POD].reported_ns;
}

/* Reports a payload, or a FIN or RST without one; returns the reason to count the packet under. */
static __always_inline int pt_report(struct __sk_buff *skb, struct pt_work *work,
				     struct pt_connection *connection,
				     struct pt_direction_state *state)
{
	__u64 copied = 0, share;
	int reason = PT_COUNT_CLOSING;
	void *ring;

	ring = pt_get_ring(work);
	if (!ring)
		return PT_COUNT_RING_FULL;
	if (!work->packet.payload_len && !pt_is_reported(connection)) {
		/* User space never heard of it, so it can't be the one to remove it. */
		bpf_map_delete_elem(&connections, &work->key);
		return PT_COUNT_NO_PAYLOAD;
	}
	if (work->packet.payload_len && connection->verdict == PT_UNDECIDED &&
	    state->copied >= PT_UNDECIDED_BYTES)
		return connection->kind ? connection->kind : PT_COUNT_UNDECIDED;
	share = work->packet.payload_len ? PT_PAYLOAD_SHARE : PT_BARE_SHARE;
	if (!pt_has_share(work, ring, share))
		return PT_COUNT_FAIR_SHARE;
	pt_fill(&work->record, &work->key, connection, work->packet.direction);
	work->record.time_ns = work->now;
	work->record.seq = work->packet.seq;
	work->record.payload_len = work->packet.payload_len;
	work->record.tcp_flags = work->packet.tcp_flags;
	if (work->packet.payload_len) {
		reason = pt_copy(skb);
		if (reason == PT_COUNT_READ_FAILED)
			return reason;
		copied = (__u64)work->record.head_len + work->record.tail_len;
		reason = pt_reason_of(connection, reason);
	}
	if (pt_submit(work, ring, copied))
		return PT_COUNT_RING_FULL;
	state->reported_ns = work->now;
	if (work->beginning.is_request | work->beginning.is_response)
		state->copied = copied;
	else if (state->copied < PT_WHOLE_BYTES)
		state->copied += copied;
	return reason;
}

/*
 * Copies whole what a client sends behind a head: where its next one is, only user space may find.
 * Returns as pt_report_part() does.
 */
static __always_inline int pt_copy_whole(struct __sk_buff *skb, struct pt_work *work,
					 struct pt_direction_state *state)
{
	int reason = PT_COUNT_REASONS;

	if (!work->beginning.is_request && state->copied >= PT_WHOLE_BYTES)
		return PT_COUNT_REASONS;
	work->whole = 1;
#pragma unroll
	for (int i = 1; i < PT_WHOLE_BYTES / PT_HEAD_COPY_BYTES; i++) {
		if (work->packet.payload_len <= PT_HEAD_COPY_BYTES)
			break;
		reason = pt_report_part(skb, PT_HEAD_COPY_BYTES, 0);
		if (reason != PT_COUNT_REASONS)
			break;
	}
	return reason;
}

/*
 * Takes off the packet the bytes of a body: of one whose end is known here, or else to user space.
 * Then reads how the rest begins. Returns 0, or an error.
 */
static __always_inline int pt_take_body(struct __sk_buff *skb, struct pt_work *work,
					struct pt_direction_state *state)
{
	__u64 ahead = pt_body_ahead(state, work->packet.seq);
	int flush = 0;

	if (ahead && state->has_body == PT_BODY_UNSEEN && work->packet.seq == state->body_begin) {
		if (pt_read_beginning(skb))
			return -1;
		state->has_body = PT_BODY_SURE;
		if (work->beginning.is_response || work->packet.payload_len < PT_BEGINNING_BYTES)
			state->has_body = PT_BODY_NONE;
		if (state->has_body == PT_BODY_NONE)
			ahead = 0;
	}
	if (ahead) {
		work->at_start = ahead < work->packet.payload_len;
		flush = pt_is_late(work, state, ahead);
		flush |= pt_take_off(work, state, ahead);
	} else if (state->copied >= PT_FEEDBACK_BYTES) {
		flush = pt_take_skipped();
	}
	if (flush)
		pt_flush_runs();
	return work->packet.payload_len ? pt_read_beginning(skb) : 0;
}

/*
 * Takes off the payload what is reported apart from the rest. Returns as pt_report_part() does, or
 * the reason to count the packet under when nothing is left.
 */
static __always_inline int pt_take_apart(struct __sk_buff *skb, struct pt_work *work,
					 struct pt_connection *connection,
					 struct pt_direction_state *state)
{
	__u64 from_client = pt_is_from_client(connection, work->packet.direction);
	int reason = PT_COUNT_REASONS;

	if (from_client && !work->beginning.is_request &&
	    (connection->verdict == PT_UNDECIDED || work->packet.payload_len > pt_capture_bytes))
		work->beginning.is_request = pt_starts_with_method(skb) == 1;
	if (work->beginning.is_response || (from_client && work->beginning.is_request))
		connection->verdict = PT_HTTP;
	work->goes_on = state->has_scan && state->scan_next == work->packet.seq;
	if (work->goes_on)
		state->has_scan = 0;
	if (pt_wants_scan(skb, work, connection)) {
#pragma unroll
		for (int i = 0; i < PT_SEGMENT_MESSAGES; i++) {
			reason = pt_take_message(skb);
			if (reason != PT_COUNT_REASONS)
				break;
		}
		if (reason < PT_COUNT_REASONS)
			return reason;
	}
	work->whole = 0;
	if (from_client && connection->verdict == PT_HTTP)
		return pt_copy_whole(skb, work, state);
	return PT_COUNT_REASONS;
}

/* A segment of a tracked connection. Returns the reason to count the packet under. */
static __noinline int pt_track(struct __sk_buff *skb, struct pt_work *work,
			       struct pt_connection *connection)
{
	struct pt_direction_state *state = pt_state(connection, work->packet.direction);
	__u64 closing = work->packet.tcp_flags & (PT_TCP_FIN | PT_TCP_RST);
	int reason = PT_COUNT_CLOSING, reported;

	work->at_start = 0;
	work->taken_off = 0;
	if (work->packet.payload_len) {
		reason = PT_COUNT_SKIPPED;
		if (pt_take_body(skb, work, state))
			return PT_COUNT_READ_FAILED;
		if (closing)
			pt_flush_runs();
		if (work->packet.payload_len)
			reason = pt_take_apart(skb, work, connection, state);
	}
	if (reason != PT_COUNT_REASONS) {
		/* Only the end of the connection is left to report. */
		if (!closing || work->packet.payload_len)
			return reason;
		pt_flush_runs();
	}
	reported = pt_report(skb, work, connection, state);
	return reported == PT_COUNT_CLOSING && reason != PT_COUNT_REASONS ? reason : reported;
}

/* Decides about one TCP segment. Returns the reason to count it under. */
static __always_inline int pt_decide(struct __sk_buff *skb, struct pt_work *work)
{
	struct pt_connection *connection;
	__u64 *opaque_reason;
	int reason;

	if (!work->packet.payload_len &&
	    !(work->packet.tcp_flags & (PT_TCP_SYN | PT_TCP_FIN | PT_TCP_RST)))
		return PT_COUNT_NO_PAYLOAD;
	work->now = bpf_ktime_get_ns();
	work->beginning.is_request = 0;
	work->beginning.is_response = 0;
	work->beginning.is_http2 = 0;
	work->beginning.hello = 0;
	if (work->packet.tcp_flags & PT_TCP_SYN) {
		pt_on_syn();
		work->packet.seq++; /* a SYN takes one number; data after it is TCP Fast Open's */
	}
	if (!work->packet.payload_len && !(work->packet.tcp_flags & (PT_TCP_FIN | PT_TCP_RST)))
		return PT_COUNT_NO_PAYLOAD;
	if (pt_rings > 1)
		work->ring = pt_ring_of(&work->key);
	/* Each pointer is tested once: 6.1 follows a second test of a null into nonsense. */
	connection = bpf_map_lookup_elem(&connections, &work->key);
	if (connection)
		return pt_track(skb, work, connection);
	if (!work->packet.payload_len)
		return PT_COUNT_NO_PAYLOAD;
	opaque_reason = bpf_map_lookup_elem(&opaque, &work->key);
	if (opaque_reason)
		return *opaque_reason;
	if (pt_read_beginning(skb))
		return PT_COUNT_READ_FAILED;
	reason = pt_open();
	if (reason != PT_COUNT_REASONS)
		return reason;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	if (!connection)
		return PT_COUNT_TABLE_FULL;
	return pt_track(skb, work, connection);
}

SEC("socket")
int pt_capture(struct __sk_buff *skb)
{
	__u64 outgoing = skb->pkt_type == PT_PACKET_OUTGOING;
	struct pt_work *work = pt_get_work();
	__u64 polarity = skb->cb[PT_CB_POLARITY];
	__u64 payload_len;
	int reason;

	/* What leaves through loopback comes in again: that is when its receiver gets it. */
	if (!work || (polarity == PT_LOOPBACK && outgoing))
		return 0;
	work->key.tap = skb->cb[PT_CB_TAP];
	work->key.generation = skb->cb[PT_CB_GENERATION];
	/* On loopback from the pod, until its ends are known. */
	work->packet.direction = outgoing == polarity ? PT_TO_POD : PT_FROM_POD;
	reason = pt_walk(skb);
	if (reason == PT_WALK_OK && polarity == PT_LOOPBACK)
		pt_order_ends();
	/* Skipping takes bytes off the packet's length. */
	payload_len = work->packet.payload_len;
	if (reason == PT_WALK_OK)
		reason = pt_decide(skb, work);
	pt_count(work, reason, payload_len);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
