/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which connections are tracked: handshakes, the first payload, what starts like a message. */
#ifndef PODTAP_CONNECTION_BPF_H
#define PODTAP_CONNECTION_BPF_H

#define PT_TLS_HANDSHAKE    0x16
#define PT_TLS_CLIENT_HELLO 1
#define PT_TLS_SERVER_HELLO 2
/* Longest method that is looked for, its space and a byte of the target. */
#define PT_METHOD_BYTES 20

/*
 * The handshake type when the payload's first eight bytes begin a TLS record with a hello of less
 * than 64 KiB in it (RFC 8446 sections 4 and 5.1), else 0.
 */
static __always_inline __u64 pt_hello_type(__u64 word)
{
	__u64 minor = word >> 40 & 0xff;
	__u64 type = word >> 16 & 0xff;

	if (word >> 48 != (PT_TLS_HANDSHAKE << 8 | 3) || minor > 4 || (word >> 8 & 0xff))
		return 0;
	return type == PT_TLS_CLIENT_HELLO || type == PT_TLS_SERVER_HELLO ? type : 0;
}

/* Shorter payloads tell no more of their beginning than their first byte. */
#define PT_BEGINNING_BYTES 8

/*
 * Fills work->beginning from the payload, which is not empty. A payload that one record holds is
 * copied there at once.
 */
__noinline int pt_read_beginning(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	struct pt_beginning *beginning;
	__u64 length, word;

	if (!work)
		return -1;
	beginning = &work->beginning;
	beginning->is_request = 0;
	beginning->is_response = 0;
	beginning->is_http2 = 0;
	beginning->hello = 0;
	length = work->packet.payload_len;
	work->loaded = length <= pt_capture_bytes;
	if (!work->loaded)
		length = PT_BEGINNING_BYTES;
	/* The verifier must see 1 <= length <= PT_HEAD_COPY_BYTES in the register it uses. */
	length = ((length - 1) & (PT_HEAD_COPY_BYTES - 1)) + 1;
	if (bpf_skb_load_bytes(skb, work->packet.payload, work->payload, length))
		return -1;
	beginning->first_byte = work->payload[0];
	if (work->packet.payload_len < PT_BEGINNING_BYTES)
		return 0;
	word = bpf_be64_to_cpu(*(__u64 *)work->payload);
	if (word >> 8 == 0x485454502f312eULL) { /* "HTTP/1." */
		beginning->is_response = 1;
		return 0;
	}
	beginning->is_http2 = word == 0x505249202a204854ULL; /* "PRI * HT" */
	beginning->hello = pt_hello_type(word);
#pragma unroll
	for (int i = 0; i < 8; i++) {
		__u64 letter = (word >> (56 - 8 * i)) & 0xff;

		if (letter == ' ') {
			beginning->is_request = i >= 3;
			break;
		}
		if (letter < 'A' || letter > 'Z')
			break;
	}
	return 0;
}

/* tchar of RFC 9110 section 5.6.2, or CR or LF: what a client's first byte may be. */
static __always_inline int pt_can_begin_message(__u64 byte)
{
	/* Bits of 0x00-0x3f and 0x40-0x7f. */
	const __u64 low = 0x03ff6cfa00002400ULL;
	const __u64 high = 0x57ffffffc7fffffeULL;

	if (byte < 0x40)
		return low >> byte & 1;
	if (byte < 0x80)
		return high >> (byte - 0x40) & 1;
	return 0;
}

/*
 * Whether the payload starts with a method of any kind: a token, a space, the start of a target.
 * Stricter than the first byte, wider than pt_read_beginning(); for clients' payloads only.
 */
__noinline int pt_starts_with_method(struct __sk_buff *skb)
{
	struct pt_work *work = pt_get_work();
	__u8 start[PT_METHOD_BYTES];
	int in_token = 1, found = 0;

	if (!work || work->packet.payload_len < sizeof(start))
		return 0;
	if (bpf_skb_load_bytes(skb, work->packet.payload, start, sizeof(start)))
		return 0;
#pragma unroll
	for (int i = 0; i < PT_METHOD_BYTES - 1; i++) {
		if (in_token && start[i] == ' ')
			found = i && start[i + 1] > ' ';
		in_token = in_token && start[i] > ' ' && pt_can_begin_message(start[i]);
	}
	return found;
}

/* Whether the packet is the client's, as far as that is known. */
static __always_inline int pt_is_from_client(const struct pt_connection *connection,
					     __u64 direction)
{
	__u64 client_from_pod = !!(connection->flags & PT_FLAG_CLIENT_FROM_POD);

	return connection->flags & PT_FLAG_CLIENT_KNOWN &&
	       client_from_pod == (direction == PT_FROM_POD);
}

/* Notes a SYN or SYN-ACK. A SYN ends whatever had the tuple before. */
__noinline int pt_on_syn(void)
{
	struct pt_work *work = pt_get_work();
	struct pt_connection_key *key;
	struct pt_handshake *known;
	struct pt_handshake *handshake;
	__u64 from_pod, is_reply;
	__u32 seq, isn_flag;

	if (!work)
		return 0;
	key = &work->key;
	handshake = &work->handshake;
	seq = work->packet.seq;
	from_pod = work->packet.direction == PT_FROM_POD;
	is_reply = !!(work->packet.tcp_flags & PT_TCP_ACK);
	isn_flag = from_pod ? PT_FLAG_ISN_FROM_POD : PT_FLAG_ISN_TO_POD;
	known = bpf_map_lookup_elem(&handshakes, key);
	if (known) {
		__u32 isn = pt_by_direction(work->packet.direction, known->isn[0], known->isn[1]);

		/* Sent again. */
		if ((known->flags & isn_flag) && isn == seq)
			return 0;
		if (is_reply) {
			*handshake = *known;
			handshake->flags |= isn_flag;
			handshake->isn[0] = from_pod ? seq : handshake->isn[0];
			handshake->isn[1] = from_pod ? handshake->isn[1] : seq;
			bpf_map_update_elem(&handshakes, key, handshake, BPF_ANY);
			return 0;
		}
	}
	/* A SYN-ACK sent again once the connection is under way. */
	if (is_reply && bpf_map_lookup_elem(&connections, key))
		return 0;
	handshake->opened_ns = work->now;
	handshake->flags = isn_flag | PT_FLAG_CLIENT_KNOWN;
	if (from_pod != is_reply)
		handshake->flags |= PT_FLAG_CLIENT_FROM_POD;
	handshake->isn[0] = from_pod ? seq : 0;
	handshake->isn[1] = from_pod ? 0 : seq;
	bpf_map_update_elem(&handshakes, key, handshake, BPF_ANY);
	bpf_map_delete_elem(&opaque, key);
	if (!is_reply) {
		bpf_map_delete_elem(&connections, key);
		bpf_map_delete_elem(&feedback, key);
	}
	return 0;
}

/*
 * Begins to track the connection of a payload, or says why not: the reason to count the packet
 * under, or PT_COUNT_REASONS with the connection in the table.
 */
__noinline int pt_open(void)
{
	struct pt_work *work = pt_get_work();
	struct pt_handshake *handshake;
	struct pt_connection *connection;
	struct pt_connection_key *key;
	__u64 from_pod, is_tls, reason = PT_COUNT_OPAQUE;

	if (!work)
		return PT_COUNT_READ_FAILED;
	key = &work->key;
	connection = &work->connection;
	__builtin_memset(connection, 0, sizeof(*connection));
	from_pod = work->packet.direction == PT_FROM_POD;
	is_tls = work->beginning.first_byte == PT_TLS_HANDSHAKE;
	handshake = bpf_map_lookup_elem(&handshakes, key);
	if (handshake) {
		__u64 client_from_pod = !!(handshake->flags & PT_FLAG_CLIENT_FROM_POD);

		/* A server that speaks first, or a first byte of neither HTTP nor TLS. */
		if (from_pod != client_from_pod ||
		    (!is_tls && !pt_can_begin_message(work->beginning.first_byte))) {
			bpf_map_update_elem(&opaque, key, &reason, BPF_ANY);
			bpf_map_delete_elem(&handshakes, key);
			return PT_COUNT_OPAQUE;
		}
		connection->opened_ns = handshake->opened_ns;
		connection->isn[0] = handshake->isn[0];
		connection->isn[1] = handshake->isn[1];
		connection->flags = handshake->flags;
	} else {
		if (!work->beginning.is_request && !work->beginning.is_response &&
		    work->beginning.hello != PT_TLS_CLIENT_HELLO)
			return PT_COUNT_MIDSTREAM;
		connection->opened_ns = work->now;
	}
	if (work->beginning.is_request)
		connection->verdict = PT_HTTP;
	if (is_tls)
		connection->kind = PT_COUNT_TLS;
	if (work->beginning.is_http2)
		connection->kind = PT_COUNT_HTTP2;
	if (bpf_map_update_elem(&connections, key, connection, BPF_NOEXIST) &&
	    !bpf_map_lookup_elem(&connections, key))
		return PT_COUNT_TABLE_FULL;
	pt_count(work, PT_TALLY_CONNECTIONS, 0);
	if (is_tls)
		pt_count(work, PT_TALLY_TLS, 0);
	/* It told what it knew; left in place it would pass for a new connection later. */
	bpf_map_delete_elem(&handshakes, key);
	return PT_COUNT_REASONS;
}

#endif
