using KvStore.Golden;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Replication.Tests.StateMachine;
using KvStore.Storage;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests;

/// <summary>Log payloads, snapshot sections and peer payloads of commit 84ebed4, read by this build.</summary>
public sealed class RecordedPayloadsTests
{
    private const string File = "payloads.txt";
    private const ulong FirstRevision = (Start + 1) << 16;

    private static readonly ReplicaId A = new(1);
    private static readonly ReplicaId B = new(2);

    public static TheoryData<string, Message> EveryMessage => new()
    {
        { "peer-append-response", new AppendAccepted(B, A, 7, 12) },
        { "peer-append-rejected", new AppendRejected(B, A, 7, 12, HintIndex: 8, HintTerm: 5) },
        { "peer-pre-vote-request", new PreVoteRequest(A, B, 8, 12, 7) },
        { "peer-vote-request", new TransferVoteRequest(A, B, 8, 12, 7) },
        { "peer-vote-response", new VoteGranted(B, A, 8) },
        { "peer-pre-vote-response", new PreVoteRefused(B, A, 8, Commit: 11, CommitTerm: 7) },
        { "peer-read-index-request", new ReadIndexRequest(B, A, 7, 42) },
        { "peer-read-index-response", new ReadIndexResponse(A, B, 7, 42, 12) },
        {
            "peer-install-snapshot",
            new InstallSnapshot(A, B, 7, new SnapshotMetadata(12, 7, 99, ConfState.Of(A, B) with { AutoLeave = true, Learners = [new ReplicaId(9)] }))
        },
        { "peer-timeout-now", new TimeoutNow(A, B, 7) },
        { "peer-freshness-proof", new FreshnessProof(A, B, 7, 12, new Stamp(3, ulong.MaxValue)) },
        { "peer-answers", new HeartbeatResponse(B, A, 7, (7UL << 40) + 5) },
    };

    [Theory]
    [MemberData(nameof(EveryMessage))]
    public void A_message_between_peers(string name, Message expected)
    {
        var (head, message) = Assert.Single(ReadPeer(name));
        Assert.Equal(123_456UL, head.WallMs);
        Assert.Equal((new GroupId(3), expected), (message.Group, message.Message));
    }

    [Fact]
    public void An_append_with_its_entries()
    {
        var append = Assert.IsType<AppendEntries>(Assert.Single(ReadPeer("peer-append")).Message.Message);
        Assert.Equal((A, B, 7UL, 10UL, 6UL, 9UL), (append.From, append.To, append.Term, append.PrevIndex, append.PrevTerm, append.Commit));
        Assert.Equal(
            [(7UL, 11UL, EntryKind.Command, (ushort)1, 11UL << 16, 2U, 100), (7UL, 12UL, EntryKind.NoOp, (ushort)1, 12UL << 16, 2U, 0)],
            append.Entries.Select(e => (e.Term, e.Index, e.Kind, e.FeatureLevel, e.Clock, e.Count, e.Payload.Length)));
        Assert.Equal(Enumerable.Range(0, 100).Select(b => (byte)b), append.Entries[0].Payload.ToArray());
    }

    [Fact]
    public void Heartbeats_of_two_groups() => Assert.Equal(
        [
            (new GroupId(3), 11UL, (Message)new Heartbeat(A, B, 7, 12, (7UL << 40) + 5)),
            (new GroupId(4), 300UL, new Heartbeat(A, B, 9, 70_000, (7UL << 40) + 5)),
        ],
        ReadPeer("peer-heartbeats").Select(read => (read.Message.Group, read.Message.LowestVoterMatch, read.Message.Message)));

    [Fact]
    public void The_stamp_of_an_answer() =>
        Assert.Equal(new Stamp(7, 1UL << 40), Assert.Single(ReadPeer("peer-answers")).Head.Stamp);

    [Fact]
    public void A_snapshot_on_its_way()
    {
        var pull = Assert.IsType<SnapshotPull>(SnapshotPayload.TryRead(new NodeId(2), RecordedBuild.Bytes(File, "peer-snapshot-pull")));
        Assert.Equal((new GroupId(3), 5UL, 12UL, 7UL, 1L << 20), (pull.Group, pull.MinIndex, pull.Index, pull.Term, pull.Offset));
        var piece = Assert.IsType<SnapshotPiece>(SnapshotPayload.TryRead(new NodeId(2), RecordedBuild.Bytes(File, "peer-snapshot-piece")));
        Assert.Equal((new GroupId(3), 12UL, 7UL, 1L << 20, (1L << 20) + 3), (piece.Group, piece.Index, piece.Term, piece.Offset, piece.TotalBytes));
        Assert.Equal(new byte[] { 1, 2, 3 }, piece.Bytes);
    }

    [Fact]
    public void Every_operation_of_the_log_does_what_it_did()
    {
        var machine = new Machine();
        var put = Assert.Single(Apply(machine, "log-put", 1));
        Assert.Equal((ErrorCode.None, true, FirstRevision, false), (put.Code, put.Changed, put.Revision, put.Duplicate));
        Assert.Equal(("hello", "text/plain"), (machine.Value("greeting"), machine.ContentType("greeting")));

        // The same id: answered from its record, whatever is in the copy.
        Assert.Equal(put with { Duplicate = true }, Assert.Single(Apply(machine, "log-put-again", 1)));
        Assert.Equal("hello", machine.Value("greeting"));

        var refused = Assert.Single(Apply(machine, "log-put-if-absent", 1));
        Assert.Equal((ErrorCode.ConditionFailed, FirstRevision), (refused.Code, refused.Revision));
        Assert.Equal(95, Assert.Single(Apply(machine, "log-increment", 1)).Number);
        var batch = Assert.Single(Apply(machine, "log-batch", 3));
        Assert.Equal([(true, 0L), (false, 42L), (false, 0L)], batch.Items!.Select(item => (item.Changed, item.Number)));
        Assert.Equal(("one", "42", null), (machine.Value("{b}1"), machine.Value("{b}n"), machine.Value("{b}absent")));
        Assert.True(Assert.Single(Apply(machine, "log-delete-if-exists", 1)).Changed);
        Assert.Null(machine.Value("greeting"));
        Assert.Equal([true, true], Apply(machine, "log-two-requests", 2).Select(result => result.Changed));
        Assert.Equal((new string('x', 300), null), (machine.Value("x"), machine.Value("visits")));
    }

    [Fact]
    public void The_records_of_a_snapshot_still_answer()
    {
        var machine = new Machine();
        machine.NoOpAt(Start + 2);
        machine.State.RestoreSections(
            [.. RecordedBuild.Names(File).Where(name => name.StartsWith("section-", StringComparison.Ordinal)).Select(SectionOf)]);
        Assert.Equal((3, 1), (machine.State.RecordCount, machine.State.FloorCount));
        var put = machine.Apply(Put("greeting", "bye", Id(1, 1, firstSent: Start, ackedBelow: 1)));
        Assert.Equal((true, true, (Start + 1) << 16), (put.Duplicate, put.Changed, put.Revision));
        var increment = machine.Apply(Increment("greeting2", 5, 0, UserKey(9, digest: 77)));
        Assert.Equal((true, 5L), (increment.Duplicate, increment.Number));
        Assert.Equal(ErrorCode.IdempotencyReused, machine.Apply(Increment("greeting2", 6, 0, UserKey(9, digest: 78))).Code);
        var batch = machine.Apply(Batch(Id(2, 5, firstSent: Start, ackedBelow: 5), Put("{b}1", "one"), Delete("{b}absent")));
        Assert.Equal([ErrorCode.None, ErrorCode.None], batch.Items!.Select(item => item.Code));
        Assert.True(batch.Duplicate);
    }

    [Fact]
    public void Nothing_of_the_recording_is_left_unread()
    {
        string[] known = [.. EveryMessage.Select(row => (string)row[0]), "peer-append", "peer-heartbeats", "peer-snapshot-pull", "peer-snapshot-piece"];
        Assert.Empty(RecordedBuild.Names(File).Where(name => name.StartsWith("peer-", StringComparison.Ordinal)).Except(known));
    }

    private static List<CommandResult> Apply(Machine machine, string name, uint revisions)
    {
        var results = new List<CommandResult>();
        Entry entry = machine.EntryOf(FirstRevision, Delete("k")) with { Payload = RecordedBuild.Bytes(File, name), Count = revisions };
        machine.State.Apply(entry, results);
        return results;
    }

    private static SnapshotSection SectionOf(string name) =>
        new(int.Parse(name["section-".Length..]), IdempotencySection.Kind, RecordedBuild.Bytes(File, name));

    private static IEnumerable<(PeerPayloadHead Head, PeerMessage Message)> ReadPeer(string name)
    {
        var messages = new List<PeerMessage>();
        Assert.True(PeerPayload.TryRead(RecordedBuild.Bytes(File, name), out PeerPayloadHead head, messages));
        return messages.Select(message => (head, message));
    }
}
