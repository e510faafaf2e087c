using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests.Peers;

public sealed class PeerPayloadTests
{
    private static readonly ReplicaId A = new(1);
    private static readonly ReplicaId B = new(2);

    private static ConfState FollowsTable =>
        ConfState.Of(A, B) with { Learners = [new ReplicaId(9)], Epoch = 300, Nodes = [new(B, 2), new(new ReplicaId(9), 70_000)] };

    public static TheoryData<Message> EveryMessage() =>
    [
        new AppendEntries(A, B, 7, 10, 6, 9, [Entry(11, 100), Entry(12, 0)]),
        new AppendEntries(A, B, 7, 10, 6, 9, []),
        new AppendAccepted(B, A, 7, 12),
        new AppendRejected(B, A, 7, 12, HintIndex: 8, HintTerm: 5),
        new PreVoteRequest(A, B, 8, 12, 7),
        new TransferVoteRequest(A, B, 8, 12, 7),
        new PreVoteRefused(B, A, 8, Commit: 11, CommitTerm: 7),
        new ReadIndexRequest(B, A, 7, 42),
        new ReadIndexResponse(A, B, 7, 42, 12),
        new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, ConfState.Of(A, B) with { AutoLeave = true, Learners = [new ReplicaId(9)] })),
        new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, FollowsTable)),
        new TimeoutNow(A, B, 7),
        new FreshnessProof(A, B, 7, 12, new Stamp(3, ulong.MaxValue)),
    ];

    [Theory]
    [MemberData(nameof(EveryMessage))]
    public void A_message_reads_back_as_it_was_written(Message message)
    {
        PeerMessage read = Assert.Single(Read(General(message)));
        Assert.Equal(new GroupId(3), read.Group);
        if (message is AppendEntries sent)
        {
            var append = Assert.IsType<AppendEntries>(read.Message);
            Assert.Equal(sent with { Entries = append.Entries }, append);
            Assert.Equal(sent.Entries.Count, append.Entries.Count);
            foreach ((Entry expected, Entry actual) in sent.Entries.Zip(append.Entries))
            {
                Assert.Equal(expected with { Payload = actual.Payload }, actual);
                Assert.Equal(expected.Payload.ToArray(), actual.Payload.ToArray());
            }
        }
        else
        {
            Assert.Equal(message, read.Message);
        }
    }

    public static TheoryData<Message, string> GoldenItems() => new()
    {
        { new AppendEntries(A, B, 7, 10, 6, 9, [Entry(11, 2)]), "9a0103010102070a06099196070001ce000b000002c4020001" },
        { new AppendAccepted(B, A, 7, 12), "9a0203010201070cc20000" },
        { new AppendRejected(B, A, 7, 12, HintIndex: 8, HintTerm: 5), "9a0203010201070cc30805" },
        { new PreVoteRequest(A, B, 8, 12, 7), "9a0303010102080c07c3c2" },
        { new VoteRequest(A, B, 8, 12, 7), "9a0303010102080c07c2c2" },
        { new TransferVoteRequest(A, B, 8, 12, 7), "9a0303010102080c07c2c3" },
        { new PreVoteGranted(B, A, 8), "9a040301020108c3c30000" },
        { new PreVoteRefused(B, A, 8, Commit: 11, CommitTerm: 7), "9a040301020108c3c20b07" },
        { new VoteGranted(B, A, 8), "9a040301020108c2c30000" },
        { new VoteRefused(B, A, 8, Commit: 11, CommitTerm: 7), "9a040301020108c2c20b07" },
        { new ReadIndexRequest(B, A, 7, 42), "970503010201072a" },
        { new ReadIndexResponse(A, B, 7, 42, 12), "980603010102072a0c" },
        { new TimeoutNow(A, B, 7), "96080301010207" },
        { new FreshnessProof(A, B, 7, 12, new Stamp(3, 300)), "990903010102070c03cd012c" },
    };

    /// <summary>However the messages are called here, members of all builds see these bytes.</summary>
    [Theory]
    [MemberData(nameof(GoldenItems))]
    public void The_bytes_of_every_message_are_fixed(Message message, string expected)
    {
        var item = new ArrayBufferWriter<byte>();
        PeerPayload.WriteMessage(item, new GroupId(3), 1, message);
        Assert.Equal(expected, Convert.ToHexStringLower(item.WrittenSpan));
    }

    /// <summary>Members of earlier builds ask for exactly these fields.</summary>
    [Fact]
    public void A_configuration_without_epoch_and_nodes_is_sent_as_it_always_was() => Assert.Equal(
        "940101ce0001e24091" + "9a0703010102070c0763" + "95920102909109" + "90c3",
        Convert.ToHexStringLower(General(new InstallSnapshot(
            A, B, 7, new SnapshotMetadata(12, 7, 99, ConfState.Of(A, B) with { AutoLeave = true, Learners = [new ReplicaId(9)] })))));

    [Fact]
    public void A_configuration_says_epoch_and_nodes_at_its_end() => Assert.Equal(
        "940101ce0001e24091" + "9a0703010102070c0763" + "97920102909109" + "90c2" + "cd012c" + "92" + "920202" + "9209ce00011170",
        Convert.ToHexStringLower(General(new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, FollowsTable)))));

    [Fact]
    public void Nodes_without_end_are_passed_over()
    {
        ReplicaNode[] crowd = [.. Enumerable.Range(1, PeerPayload.MaxMembers + 1).Select(n => new ReplicaNode(new ReplicaId((ulong)n), 1))];
        var install = new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, FollowsTable with { Nodes = crowd }));
        var messages = new List<PeerMessage>();
        Assert.True(PeerPayload.TryRead(General(install), out PeerPayloadHead head, messages));
        Assert.Equal((0, 1), (messages.Count, head.SkippedItems));
    }

    public static TheoryData<Message> WithManyParts() =>
    [
        new AppendEntries(A, B, 7, 10, 6, 9, [Entry(11, 100), Entry(12, 3)]),
        new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, FollowsTable)),
    ];

    [Theory]
    [MemberData(nameof(WithManyParts))]
    public void Every_prefix_of_a_payload_is_refused(Message message)
    {
        byte[] payload = General(message);
        for (int length = 0; length < payload.Length; length++)
        {
            Assert.False(PeerPayload.TryRead(payload.AsSpan(0, length), out _, []));
        }
    }

    [Theory]
    [MemberData(nameof(WithManyParts))]
    public void Flipped_bits_are_read_or_refused_and_never_throw(Message message)
    {
        byte[] payload = General(message);
        for (int bit = 0; bit < payload.Length * 8; bit++)
        {
            byte[] damaged = [.. payload];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            PeerPayload.TryRead(damaged, out _, []);
        }
    }

    [Fact]
    public void D1_items_that_are_unknown_or_say_what_cannot_be_are_passed_over_and_the_others_read()
    {
        ReadOnlyMemory<byte>[] items =
        [
            Item(new TimeoutNow(A, B, 7)),
            Item(new TimeoutNow(A, B, PeerPayload.MaxTerm + 1)),
            Item(new AppendEntries(A, B, 7, 10, 6, 9, [Entry(11, 3) with { Kind = (EntryKind)9 }])),
            UnknownType(),
            Item(new AppendAccepted(B, A, 7, 12)),
        ];
        byte[] payload = Payload(PeerPayload.MessagesKind, extraFields: 0, items);
        var messages = new List<PeerMessage>();
        Assert.True(PeerPayload.TryRead(payload, out PeerPayloadHead head, messages));
        Assert.Equal([new TimeoutNow(A, B, 7), new AppendAccepted(B, A, 7, 12)], messages.Select(m => m.Message));
        Assert.Equal(3, head.SkippedItems);
        for (int length = 0; length < payload.Length; length++)
        {
            Assert.False(PeerPayload.TryRead(payload.AsSpan(0, length), out _, []));
        }
    }

    [Theory]
    [MemberData(nameof(EveryMessage))]
    public void Fields_behind_those_that_are_known_are_passed_over(Message message)
    {
        byte[] item = Item(message).ToArray();
        byte[] longer = [(byte)(item[0] + 2), .. item[1..], 0xC3, 0x92, 0x01, 0x02]; // true, and an array of two
        byte[] payload = Payload(PeerPayload.MessagesKind, extraFields: 1, longer, item);
        var messages = new List<PeerMessage>();
        Assert.True(PeerPayload.TryRead(payload, out PeerPayloadHead head, messages));
        Assert.Equal((2, 0), (messages.Count, head.SkippedItems));
        Assert.All(messages, m => Assert.IsType(message.GetType(), m.Message));
    }

    [Fact]
    public void A_payload_of_an_unknown_kind_costs_nothing_and_is_counted()
    {
        var node = new LoneNode();
        node.HearPayload(Payload(kind: 77, extraFields: 0, Item(new TimeoutNow(A, B, 7))));
        Assert.Equal(1, node.Store.Counters.PeerItemsSkipped);
        Assert.False(node.Store.OnPeerPayload(new NodeId(1), new byte[] { 0x93, 2, 1, 0 })); // of another version
    }

    [Fact]
    public void A_local_message_never_crosses_the_network() =>
        Assert.Throws<InvariantViolationException>(() => General(new AppendSynced(A, A, 1, 1, 1)));

    private static Entry Entry(ulong index, int bytes) =>
        new(7, index, EntryKind.Command, 1, index << 16, 2, Enumerable.Range(0, bytes).Select(b => (byte)b).ToArray());

    private static byte[] General(Message message) => Payload(PeerPayload.MessagesKind, extraFields: 0, Item(message));

    private static ReadOnlyMemory<byte> Item(Message message)
    {
        var output = new ArrayBufferWriter<byte>();
        PeerPayload.WriteMessage(output, new GroupId(3), 1, message);
        return output.WrittenMemory;
    }

    private static ReadOnlyMemory<byte> UnknownType()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(7);
        for (uint field = 0; field < 7; field++)
        {
            writer.Write(200 + field);
        }

        writer.Flush();
        return output.WrittenMemory;
    }

    private static byte[] Payload(byte kind, int extraFields, params ReadOnlyMemory<byte>[] items)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(4 + extraFields);
        writer.Write((uint)PeerPayload.Version);
        writer.Write((uint)kind);
        writer.Write(123456UL);
        writer.WriteArrayHeader(items.Length);
        writer.Flush();
        foreach (ReadOnlyMemory<byte> item in items)
        {
            output.Write(item.Span);
        }

        for (int i = 0; i < extraFields; i++)
        {
            writer.Write("later"u8);
        }

        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    private static List<PeerMessage> Read(byte[] payload)
    {
        var messages = new List<PeerMessage>();
        Assert.True(PeerPayload.TryRead(payload, out PeerPayloadHead head, messages));
        Assert.Equal(new PeerPayloadHead(123456, default), head);
        return messages;
    }
}
