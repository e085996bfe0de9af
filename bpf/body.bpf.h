/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds in a head how long the body behind it is (Content-Length, RFC 9112 section 6.2), so that
 * the body need not be copied and the next head is.
 *
 * What is found decides about copying and nothing else: user space frames by its own reading, and
 * where both differ it lacks bytes and says so. So every doubt here means "not found".
 */
#ifndef PODTAP_BODY_BPF_H
#define PODTAP_BODY_BPF_H

/* Most of a head that is read in one segment, in blocks of PT_SCAN_BYTES. */
#define PT_SCAN_BLOCKS 64
/* Longer bodies are left to user space, which tells how far to skip. */
#define PT_MAX_BODY_BYTES (1U << 30)
/* A pending run is reported after this time, as a sign of life. */
#define PT_RUN_REPORT_NS 1000000000ULL
/* Most messages of one segment that are taken one by one. */
#define PT_SEGMENT_MESSAGES 16
/* What pt_take_message() returns besides reasons. */
#define PT_PLAIN (PT_COUNT_REASONS + 1)

/* pt_scan.phase */
enum pt_scan_phase {
	PT_SCAN_FIELDS = 0, /* in the head */
	PT_SCAN_LENGTH,	    /* in the value of Content-Length */
	PT_SCAN_FOUND,	    /* behind the head, which tells one length */
	PT_SCAN_NOTHING,    /* the head tells none that can be relied on */
};

/* Text as a word, its first byte lowest. PT_LOWER makes letters lower case, and a line feed "*". */
#define PT_LOWER      0x2020202020202020ULL
#define PT_CONTENT    0x746e65746e6f632aULL /* line feed, "content" */
#define PT_LENGTH     0x3a6874676e656c2dULL /* "-length:" */
#define PT_TRANSFER   0x652d726566736e61ULL /* "ansfer-e" */
#define PT_CODING     0x3a676e69646f636eULL /* "ncoding:" */
#define PT_EMPTY_LINE 0x0a0d0a0dULL	    /* CR LF CR LF */

/* A byte of the value of Content-Length. Returns whether to go on. */
static __always_inline int pt_scan_digit(struct pt_scan *scan, __u64 byte)
{
	if (byte == ' ' && !scan->digits)
		return 1;
	if (byte >= '0' && byte <= '9') {
		__u64 length = (__u64)scan->length * 10 + byte - '0';

		scan->length = length;
		scan->digits = 1;
		if (length <= PT_MAX_BODY_BYTES)
			return 1;
	}
	scan->phase = byte == '\r' && scan->digits ? PT_SCAN_FIELDS : PT_SCAN_NOTHING;
	return scan->phase == PT_SCAN_FIELDS;
}

/*
 * Looks at a colon, a line feed, or a byte of a length: the last of the sixteen bytes that the two
 * words hold. Returns whether to go on.
 */
__noinline int pt_scan_byte(__u64 before, __u64 last)
{
	struct pt_work *work = pt_get_work();
	struct pt_scan *scan;
	__u64 byte = last >> 56;

	if (!work)
		return 0;
	scan = &work->scan;
	if (scan->phase == PT_SCAN_LENGTH)
		return byte ? pt_scan_digit(scan, byte) : 1;
	if (byte == '\n') {
		if (last >> 32 == PT_EMPTY_LINE)
			scan->phase = scan->digits ? PT_SCAN_FOUND : PT_SCAN_NOTHING;
		else if ((last >> 48 & 0xff) != '\r')
			scan->phase = PT_SCAN_NOTHING;
		return scan->phase == PT_SCAN_FIELDS;
	}
	/* A blank before the colon: whose field it is depends on the reader. */
	if ((last >> 48 & 0xff) <= ' ') {
		scan->phase = PT_SCAN_NOTHING;
		return 0;
	}
	last |= PT_LOWER;
	before |= PT_LOWER;
	if (last == PT_LENGTH && before == PT_CONTENT) {
		/* A second one may contradict the first. */
		scan->phase = scan->digits ? PT_SCAN_NOTHING : PT_SCAN_LENGTH;
		return scan->phase == PT_SCAN_LENGTH;
	}
	if (last == PT_CODING && before == PT_TRANSFER)
		scan->phase = PT_SCAN_NOTHING;
	return scan->phase == PT_SCAN_FIELDS;
}

/*
 * Whether pt_scan_byte() is to look at a byte, of which and of the two before it there are few that
 * tell it anything: the other colons and line feeds are not worth a call.
 */
static __always_inline int pt_scan_matters(__u64 byte, __u64 last, __u64 before, __u64 phase)
{
	if (phase == PT_SCAN_LENGTH)
		return 1;
	if (byte == '\n')
		return before == '\n' || last != '\r';
	last |= ' ';
	return byte == ':' && (last == 'h' || last == 'g' || last <= '/');
}

/* Reads on in the head by one block. Returns whether to go on. */
__noinline int pt_scan_block(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	__u64 offset, left, i;
	__u8 *text;

	if (!work || work->scanned >= work->packet.payload_len)
		return 0;
	text = work->text;
	offset = work->packet.payload + work->scanned;
	left = work->packet.payload_len - work->scanned;
	if (left >= PT_SCAN_BYTES) {
		if (bpf_skb_load_bytes(skb, offset, text + PT_SCAN_BEFORE, PT_SCAN_BYTES))
			return 0;
	} else {
		__builtin_memset(text + PT_SCAN_BEFORE, 0, PT_SCAN_BYTES);
		left = ((left - 1) & (PT_SCAN_BYTES - 1)) + 1;
		if (bpf_skb_load_bytes(skb, offset, text + PT_SCAN_BEFORE, left))
			return 0;
	}
#pragma unroll
	for (i = PT_SCAN_BEFORE; i < PT_SCAN_BEFORE + PT_SCAN_BYTES; i++) {
		if (text[i] > ':' ||
		    !pt_scan_matters(text[i], text[i - 1], text[i - 2], work->scan.phase))
			continue;
		if (!pt_scan_byte(__le64_to_cpu(*(__u64 *)(text + i - 15)),
				  __le64_to_cpu(*(__u64 *)(text + i - 7)))) {
			work->scanned += i - PT_SCAN_BEFORE + 1;
			return 0;
		}
	}
	if (left <= PT_SCAN_BYTES) {
		/*
		 * The head goes on in another segment. When less than that is here of it, what is
		 * in front does no harm, unless it should be the part in the segment before.
		 */
		work->scanned = work->packet.payload_len;
		if ((work->goes_on && work->packet.payload_len < PT_SCAN_BEFORE) ||
		    bpf_skb_load_bytes(
			    skb, work->packet.payload + work->packet.payload_len - PT_SCAN_BEFORE,
			    text, PT_SCAN_BEFORE))
			work->scan.phase = PT_SCAN_NOTHING;
		return 0;
	}
	__builtin_memcpy(text, text + PT_SCAN_BYTES, PT_SCAN_BEFORE);
	work->scanned += PT_SCAN_BYTES;
	return 1;
}

/* With a barrier for the reason that pt_state() gives. */
static __always_inline struct pt_scan *pt_saved_scan(struct pt_connection *connection,
						     __u64 direction)
{
	struct pt_scan *scan = &connection->scan[PT_FROM_POD];

	if (direction != PT_FROM_POD) {
		scan = &connection->scan[PT_TO_POD];
		asm volatile("" : "+r"(scan));
	}
	return scan;
}

/* Reads the head that the packet starts with, or on in it. The outcome is work->scan.phase. */
__noinline int pt_scan_head(struct __sk_buff *skb)
{
#pragma unroll
	for (int i = 0; i < PT_SCAN_BLOCKS; i++) {
		if (!pt_scan_block(skb))
			return 0;
	}
	return 0;
}

/* With a barrier for the reason that pt_state() gives. */
static __always_inline void pt_forget_skip(struct pt_feedback *known, __u64 direction)
{
	__u32 *has_skip = &known->has_skip[PT_FROM_POD];

	if (direction != PT_FROM_POD) {
		has_skip = &known->has_skip[PT_TO_POD];
		asm volatile("" : "+r"(has_skip));
	}
	*has_skip = 0;
}

/* Bytes of a known body from the packet's first one on; 0 when that is not in one. */
static __always_inline __u64 pt_body_ahead(struct pt_direction_state *state, __u32 seq)
{
	__s32 ahead = state->body_end - seq;
	__s32 behind = seq - state->body_begin;

	if (!state->has_body)
		return 0;
	/* Left in place it would mean something again after 2 GiB. */
	if (ahead < -(__s32)PT_MAX_BODY_BYTES)
		state->has_body = 0;
	return ahead > 0 && behind >= 0 ? ahead : 0;
}

/*
 * Takes up to `ahead` bytes that need no copy off the front of the packet, and adds them to the
 * pending run. Returns whether the run is to be reported.
 */
static __always_inline int pt_take_off(struct pt_work *work, struct pt_direction_state *state,
				       __u64 ahead)
{
	__u64 taken = ahead < work->packet.payload_len ? ahead : work->packet.payload_len;
	__u32 seq = work->packet.seq;

	work->taken_off = 1;
	pt_extend_run(work, state, seq, seq + (__u32)taken);
	work->packet.payload += taken;
	work->packet.payload_len -= taken;
	work->packet.seq += taken;
	return taken == ahead || work->now - state->reported_ns > PT_RUN_REPORT_NS;
}

/*
 * Whether the body's bytes in the packet come after later ones. The run of those may have been
 * reported, and then user space waits for what is in front of it.
 */
static __always_inline int pt_is_late(struct pt_work *work, struct pt_direction_state *state,
				      __u64 ahead)
{
	__u32 end = work->packet.seq;

	end += ahead < work->packet.payload_len ? ahead : work->packet.payload_len;
	if ((__s32)(end - state->body_front) < 0)
		return 1;
	state->body_front = end;
	return 0;
}

/* Whether it pays to look for a length in what the packet starts with. */
static __always_inline int pt_wants_scan(struct __sk_buff *skb, struct pt_work *work,
					 const struct pt_connection *connection)
{
	__u64 is_head = work->beginning.is_request;
	__u64 is_response = work->beginning.is_response;
	__u64 first = work->beginning.first_byte;
	__u32 end = 0;

	if (work->at_start | work->goes_on)
		return 1;
	/* Read first and chosen then: see pt_by_direction(). */
	asm volatile("" : "+r"(is_head), "+r"(is_response));
	if (!(connection->flags & PT_FLAG_CLIENT_KNOWN))
		is_head |= is_response;
	else if (!pt_is_from_client(connection, work->packet.direction))
		is_head = is_response;
	if (!is_head)
		return 0;
	if (work->packet.payload_len > pt_capture_bytes)
		return 1;
	/*
	 * A short payload is copied whole. It matters when its body is to come, which requests have
	 * as a rule but for GET, HEAD, DELETE and OPTIONS.
	 */
	if (is_response || first == 'G' || first == 'H' || first == 'D' || first == 'O')
		return 0;
	if (bpf_skb_load_bytes(skb, work->packet.payload + work->packet.payload_len - sizeof(end),
			       &end, sizeof(end)))
		return 0;
	return __le32_to_cpu(end) == PT_EMPTY_LINE;
}

/*
 * Notes the body of the length that was found, from the packet's first byte on. Returns whether
 * that is news: a head sent again may belong to a body that is over.
 */
static __always_inline int pt_expect_body(struct pt_work *work, struct pt_direction_state *state,
					  __u8 certainty)
{
	__u32 begin = work->packet.seq;
	__u32 end = begin + work->scan.length;
	struct pt_feedback *known;

	if (state->has_body && (__s32)(end - state->body_end) < 0)
		return 0;
	state->body_begin = begin;
	state->body_front = begin;
	state->body_end = end;
	state->has_body = certainty;
	/* What user space said of an earlier body is looked at no more: see pt_take_skipped(). */
	known = bpf_map_lookup_elem(&feedback, &work->key);
	if (known)
		pt_forget_skip(known, work->packet.direction);
	return 1;
}

/* Takes off the head that pt_scan_head() found, and its body. Returns as pt_take_message() does. */
static __always_inline int pt_take_found(struct __sk_buff *skb, struct pt_work *work,
					 struct pt_direction_state *state)
{
	__u64 is_response = work->beginning.is_response;
	__u8 certainty = PT_BODY_SURE;
	int reason = pt_report_part(skb, work->scanned, 1);
	__u64 ahead;

	if (reason != PT_COUNT_REASONS)
		return reason;
	work->at_start = 1;
	if (work->packet.payload_len && pt_read_beginning(skb))
		return PT_COUNT_READ_FAILED;
	if (is_response && !work->packet.payload_len) {
		certainty = PT_BODY_UNSEEN;
	} else if (is_response) {
		/* To HEAD, and with some statuses, the length is of a body that is not there. */
		if (work->beginning.is_response)
			return PT_COUNT_REASONS;
		if (work->packet.payload_len < PT_BEGINNING_BYTES)
			return PT_PLAIN;
	}
	if (!pt_expect_body(work, state, certainty))
		return PT_PLAIN;
	ahead = work->scan.length;
	if (work->packet.payload_len && ahead) {
		if (pt_take_off(work, state, ahead))
			pt_flush_runs();
		if (work->packet.payload_len && pt_read_beginning(skb))
			return PT_COUNT_READ_FAILED;
	}
	if (work->packet.payload_len)
		return PT_COUNT_REASONS;
	return work->taken_off ? PT_COUNT_SAMPLED : PT_COUNT_COPIED;
}

/*
 * When the packet starts with a head, or goes on with one, that tells how long its body is: reports
 * the head and takes both off the packet. Returns the reason to count the packet under when nothing
 * is left of it or something failed; PT_COUNT_REASONS when it goes on with another message;
 * PT_PLAIN when there is no such head.
 */
__noinline int pt_take_message(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection *connection;
	struct pt_direction_state *state;

	if (!work)
		return PT_COUNT_READ_FAILED;
	connection = bpf_map_lookup_elem(&connections, &work->key);
	if (!connection)
		return PT_COUNT_TABLE_FULL;
	state = pt_state(connection, work->packet.direction);
	if (work->goes_on)
		__builtin_memcpy(&work->scan, pt_saved_scan(connection, work->packet.direction),
				 sizeof(work->scan));
	else
		__builtin_memset(&work->scan, 0, sizeof(work->scan));
	__builtin_memcpy(work->text, work->scan.before, PT_SCAN_BEFORE);
	work->scanned = 0;
	pt_scan_head(skb);
	work->goes_on = 0;
	work->at_start = 0;
	if (work->scan.phase == PT_SCAN_FOUND)
		return pt_take_found(skb, work, state);
	if (work->scan.phase != PT_SCAN_NOTHING && work->scanned == work->packet.payload_len) {
		__builtin_memcpy(work->scan.before, work->text, PT_SCAN_BEFORE);
		__builtin_memcpy(pt_saved_scan(connection, work->packet.direction), &work->scan,
				 sizeof(work->scan));
		state->scan_next = (__u32)work->packet.seq + (__u32)work->packet.payload_len;
		state->has_scan = 1;
	}
	return PT_PLAIN;
}

#endif
