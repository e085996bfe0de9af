/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps and settings. Sizes marked "set at load" are replaced by user space before loading. */
#ifndef PODTAP_MAPS_BPF_H
#define PODTAP_MAPS_BPF_H

/* Which layouts this object was built with. */
const volatile __u32 pt_abi_version = PT_ABI_VERSION;
/* Offset of the network header: 14 on a live SOCK_RAW packet socket, 0 under test-run. */
const volatile __u32 pt_l3_base = 14;
/* Longest payload that is copied whole. */
const volatile __u32 pt_capture_bytes = 4096;
/* Rings in use. */
const volatile __u32 pt_rings = 1;
/* Bytes in a ring at which its reader is woken; below, it polls. A power of two. */
const volatile __u32 pt_wakeup_bytes = 1024 * 1024;
/* Size of each ring. */
const volatile __u32 pt_ring_bytes = 8 * 1024 * 1024;
/*
 * Bytes in a ring above which bodies are sampled to leave room for heads, and taps that hold more
 * than their share are refused.
 */
const volatile __u32 pt_pressure_bytes = 4 * 1024 * 1024;

/* The rings themselves are made and put in by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* set at load */
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 64 * 1024); /* of the pattern alone */
		});
} rings SEC(".maps");

/*
 * Bytes of each tap's records in each ring, by PT_RING_ACCOUNT: put by the kernel side, taken by
 * the ring's reader, which maps the second array and adds to it as it moves on. The difference is
 * what the tap holds of the ring.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PT_MAX_TAPS); /* set at load */
	__type(key, __u32);
	__type(value, __u64);
} ring_put SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PT_MAX_TAPS); /* set at load */
	__type(key, __u32);
	__type(value, __u64);
} ring_taken SEC(".maps");

/* Tracked connections. A plain hash: a refused insert is seen and counted. User space deletes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* set at load */
	__type(key, struct pt_connection_key);
	__type(value, struct pt_connection);
} connections SEC(".maps");

/* What user space knows of connections; see struct pt_feedback. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* set at load */
	__type(key, struct pt_connection_key);
	__type(value, struct pt_feedback);
} feedback SEC(".maps");

/* Handshakes whose first payload has not come yet. Losing one costs a MIDSTREAM flag. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* set at load */
	__type(key, struct pt_connection_key);
	__type(value, struct pt_handshake);
} handshakes SEC(".maps");

/*
 * Connections nothing more is wanted of, and the reason their packets are counted under. Losing one
 * costs a second look at its packets.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536); /* set at load */
	__type(key, struct pt_connection_key);
	__type(value, __u64);
} opaque SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PT_COUNTER(PT_MAX_TAPS, 0, 0));
	__type(key, __u32);
	__type(value, struct pt_counter);
} counters SEC(".maps");

/* How a payload begins. */
struct pt_beginning {
	__u64 first_byte;
	__u64 is_request;  /* upper-case token of 3 to 7 letters, space */
	__u64 is_response; /* "HTTP/1." */
	__u64 is_http2;	   /* HTTP/2's preface; is_request as well */
	__u64 hello;	   /* handshake type of a TLS hello, else 0 */
};

/* What the headers say. 64-bit members: narrower ones cost shifts that lose bounds. */
struct pt_packet {
	__u64 l3;
	__u64 l4;
	__u64 end; /* of the IP packet, without link-layer padding */
	__u64 payload;
	__u64 payload_len;
	__u64 seq;
	__u64 tcp_flags;
	__u64 direction; /* enum pt_direction */
};

/* Bytes of a head that are looked at together, and the bytes before them that are at hand. */
#define PT_SCAN_BYTES  64
#define PT_SCAN_BEFORE 16

/*
 * The packet in hand. It lives in a map and not on the stack for two reasons: the functions below
 * are global and so verified one by one, which keeps old verifiers' state small; and a record's
 * size varies, which a ring reservation's may not. Filters run with softirqs off, so a CPU has one
 * packet in hand at a time.
 */
struct pt_work {
	struct pt_packet packet;
	struct pt_connection_key key;
	struct pt_beginning beginning;
	__u64 now;
	__u64 ring;	 /* index of the connection's ring; set where a record may follow */
	__u64 loaded;	 /* the payload is in place behind the record */
	__u64 whole;	 /* the payload is copied whole if one record holds it */
	__u64 at_start;	 /* a message starts here, because a body ended */
	__u64 goes_on;	 /* here goes on the head that state's scan is of */
	__u64 taken_off; /* a part of the packet was not copied */
	/* See body.bpf.h: the bytes of the packet read so far, and the last ones of them. */
	struct pt_scan scan;
	__u64 scanned;
	__u8 text[PT_SCAN_BEFORE + PT_SCAN_BYTES] __attribute__((aligned(8)));
	__u64 waiting; /* bytes in the ring, as of pt_has_share() */
	/* Entries under construction. */
	struct pt_handshake handshake;
	struct pt_connection connection;
	/* Contiguous: what goes into the ring. */
	struct pt_record record;
	__u8 payload[PT_MAX_COPY_BYTES] __attribute__((aligned(8)));
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pt_work);
} works SEC(".maps");

/* Entry 0 is the shared program; each tap's dispatcher jumps to it. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

/* Of the packet in hand. */
static __always_inline void pt_count(const struct pt_work *work, __u32 reason, __u64 bytes)
{
	__u32 slot = PT_COUNTER(work->key.tap, reason, (__u32)work->packet.direction);
	struct pt_counter *counter = bpf_map_lookup_elem(&counters, &slot);

	if (counter) {
		counter->count++;
		counter->bytes += bytes;
	}
}

static __always_inline struct pt_work *pt_get_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&works, &zero);
}

/*
 * One of two values by direction. Both are read first: selecting the address instead would be
 * arithmetic on a map value's pointer, which the strict verifier refuses.
 */
static __always_inline __u32 pt_by_direction(__u64 direction, __u32 from_pod, __u32 to_pod)
{
	asm volatile("" : "+r"(from_pod), "+r"(to_pod));
	return direction == PT_FROM_POD ? from_pod : to_pod;
}

/* The barrier keeps the compiler from computing the address, which the verifier refuses. */
static __always_inline struct pt_direction_state *pt_state(struct pt_connection *connection,
							   __u64 direction)
{
	struct pt_direction_state *state = &connection->direction[PT_FROM_POD];

	if (direction != PT_FROM_POD) {
		state = &connection->direction[PT_TO_POD];
		asm volatile("" : "+r"(state));
	}
	return state;
}

#endif
