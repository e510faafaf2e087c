using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication.Tests;

/// <summary>Feature levels at one node: what it asks before it raises, what it holds back, what it does not take.</summary>
public sealed class LevelTests
{
    private const ulong Term = 6;
    private static readonly ReplicaId Self = new(2);
    private static readonly NodeId N1 = new(1);
    private static readonly NodeId N3 = new(3);

    [Fact]
    public void A_leader_raises_the_level_once_every_member_has_said_it()
    {
        LoneNode node = Leading();
        Assert.Null(node.Store.OnPeerHello(N1, 1, FeatureLevel.Max));
        Ticks(node, 3);
        Assert.Empty(RaisesSent(node));

        Assert.Null(node.Store.OnPeerHello(N3, 1, FeatureLevel.First));
        Ticks(node, 3);
        Assert.Empty(RaisesSent(node));

        Assert.Null(node.Store.OnPeerHello(N3, 2, FeatureLevel.Max));
        Ticks(node, 1);
        Assert.NotEmpty(RaisesSent(node));
        node.HearAcknowledgement();
        Ticks(node, 1);
        Assert.Equal(FeatureLevel.Max, node.Store.Groups[0].Level);
        Assert.Contains(node.Events, e => e.Kind == NodeEventKind.LevelRaised);
    }

    [Fact]
    public void A_member_that_was_lost_has_to_say_its_level_again()
    {
        LoneNode node = Leading();
        node.Store.OnPeerHello(N1, 1, FeatureLevel.Max);
        node.Store.OnPeerHello(N3, 1, FeatureLevel.Max);
        node.Store.OnPeerLost(N3);
        Ticks(node, 3);
        Assert.Empty(RaisesSent(node));
    }

    [Fact]
    public void A_hello_of_an_earlier_process_that_comes_late_changes_nothing()
    {
        LoneNode node = Leading();
        node.Store.OnPeerHello(N1, 1, FeatureLevel.Max);
        node.Store.OnPeerHello(N3, 5, FeatureLevel.First);
        node.Store.OnPeerHello(N3, 4, FeatureLevel.Max);
        Ticks(node, 3);
        Assert.Empty(RaisesSent(node));
    }

    [Fact]
    public void From_the_raise_on_an_older_build_is_refused_by_name_and_again_after_a_restart()
    {
        LoneNode node = Raised(acknowledged: false);
        HelloRefused refused = node.Store.OnPeerHello(N3, 2, FeatureLevel.First)!;
        Assert.Equal(HelloRefusal.ProtocolVersion, refused.Reason);
        Assert.Contains("upgrade n3", refused.Detail);
        Assert.Null(node.Store.OnPeerHello(N3, 3, FeatureLevel.Max));

        node.Restart();
        Assert.NotNull(node.Store.OnPeerHello(N3, 4, FeatureLevel.First));
    }

    [Fact]
    public void A_raise_that_another_leader_replaced_refuses_nobody()
    {
        LoneNode node = Raised(acknowledged: false);
        ulong term = node.Replica.View.Term + 1;
        ulong raisedAt = node.Replica.DurableLastIndex;
        node.Hear(new AppendEntries(
            new ReplicaId(1), Self, term, raisedAt - 1, node.Replica.DurableTermAt(raisedAt - 1), 0, [LoneNode.NoOp(term, raisedAt)]));
        node.Turn();
        Ticks(node, 1);
        Assert.Null(node.Store.OnPeerHello(N3, 2, FeatureLevel.First));
    }

    [Fact]
    public void What_a_member_cannot_read_is_held_back_until_it_can()
    {
        LoneNode node = Raised(acknowledged: true);
        Put(node);
        ulong last = node.Replica.DurableLastIndex;
        Assert.Equal(FeatureLevel.Max, AppendsTo(node, 3).SelectMany(a => a.Entries).Last().FeatureLevel);

        // Another build comes back in the same folder.
        node.Store.OnPeerHello(N3, 2, FeatureLevel.First);
        node.Sent.Clear();
        node.Hear(new AppendRejected(new ReplicaId(3), Self, node.Replica.View.Term, last, HintIndex: 5, HintTerm: 5));
        node.Turn();
        Rounds(node, from: 3, times: 4);
        Assert.NotEmpty(AppendsTo(node, 3));
        Assert.All(AppendsTo(node, 3).SelectMany(a => a.Entries), e => Assert.True(e.NeededLevel <= FeatureLevel.First));

        // And is upgraded.
        node.Store.OnPeerHello(N3, 3, FeatureLevel.Max);
        Rounds(node, from: 3, times: 4);
        Assert.Contains(AppendsTo(node, 3).SelectMany(a => a.Entries), e => e.Index == last && e.FeatureLevel == FeatureLevel.Max);
    }

    [Fact]
    public void Entries_are_stamped_with_the_level_that_is_applied()
    {
        LoneNode node = Raised(acknowledged: false);
        Put(node);
        Assert.Equal(FeatureLevel.First, AppendsTo(node, 1).SelectMany(a => a.Entries).Last().FeatureLevel);
        node.HearAcknowledgement();
        Put(node);
        Assert.Equal(FeatureLevel.Max, AppendsTo(node, 1).SelectMany(a => a.Entries).Last().FeatureLevel);
    }

    /// <summary>What waits for the disk began at one level, and what comes meanwhile may need the next.</summary>
    [Fact]
    public void A_write_of_a_new_level_shares_no_entry_with_those_that_waited_since_before_the_raise()
    {
        LoneNode node = Raised(acknowledged: false);
        ulong raisedAt = node.Replica.DurableLastIndex;
        WaitingClient[] old = [SubmitToBusyDisk(new Put("a"u8, "1"u8)), SubmitToBusyDisk(new Put("b"u8, "1"u8))];
        node.Hear(new AppendAccepted(new ReplicaId(1), Self, node.Replica.View.Term, raisedAt));
        node.Store.Loops[0].RunOnce();
        WaitingClient append = SubmitToBusyDisk(new Append("a"u8, "2"u8));
        node.Turn();
        node.HearAcknowledgement();
        Assert.All([.. old, append], client => Assert.Equal(Outcome.Applied, client.Reply!.Outcome));
        Assert.Equal(
            [FeatureLevel.First, FeatureLevel.First, FeatureLevel.Max],
            AppendsTo(node, 1).SelectMany(a => a.Entries).Where(e => e.Index > raisedAt).DistinctBy(e => e.Index).Select(e => e.FeatureLevel));

        WaitingClient SubmitToBusyDisk(WriteOperation operation)
        {
            var client = new WaitingClient();
            node.Store.Submit(new KvRequest { Operation = operation }, client);
            node.Store.Loops[0].RunOnce();
            return client;
        }
    }

    [Fact]
    public void Below_its_level_an_operation_is_refused_alone_and_in_a_batch_and_never_written()
    {
        LoneNode node = Leading();
        ulong last = node.Replica.DurableLastIndex;
        var append = new Append("{t}a"u8, "1"u8);
        foreach (WriteOperation operation in (WriteOperation[])[append, new Batch(new Put("{t}b"u8, "1"u8), append)])
        {
            KvReply reply = Submit(node, operation).Reply!;
            Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied), (reply.Code, reply.Outcome));
            Assert.Contains("append", reply.Detail);
        }

        Assert.Equal(last, node.Replica.DurableLastIndex);
        WaitingClient puts = Submit(node, new Batch(new Put("{t}b"u8, "1"u8), new Increment("{t}n"u8)));
        node.HearAcknowledgement();
        Assert.Equal(ErrorCode.None, puts.Reply!.Code);
    }

    [Fact]
    public void At_its_level_an_operation_is_written()
    {
        LoneNode node = Raised(acknowledged: true);
        WaitingClient append = Submit(node, new Append("k"u8, "1"u8));
        WaitingClient batch = Submit(node, new Batch(new Put("k"u8, "1"u8), new Append("k"u8, "2"u8)));
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.None, ErrorCode.None), (append.Reply!.Code, batch.Reply!.Code));
    }

    /// <summary>Every version that an entry writes lies in memory until the entry has been applied.</summary>
    [Fact]
    public void An_entry_takes_no_more_appends_than_may_lie_in_memory_at_once()
    {
        LoneNode node = Raised(acknowledged: true);
        Submit(node, new Put("k"u8, new byte[Limits.MaxValueBytes - 200]));
        node.HearAcknowledgement();
        Assert.Equal([.. Enumerable.Repeat(8u, 12), 4u], EntriesOf(() => new Append("k"u8, "1"u8)));
        Assert.Equal([100u], EntriesOf(() => new Append("{k}small"u8, "1"u8)));
        Assert.Equal([100u], EntriesOf(() => new Put("k"u8, "1"u8)));

        IEnumerable<uint> EntriesOf(Func<WriteOperation> write)
        {
            ulong before = node.Replica.DurableLastIndex;
            for (int i = 0; i < 100; i++)
            {
                node.Store.Submit(new KvRequest { Operation = write() }, new WaitingClient());
            }

            node.Turn();
            Entry[] entries = [.. AppendsTo(node, 1).SelectMany(a => a.Entries).Where(e => e.Index > before).DistinctBy(e => e.Index)];
            node.HearAcknowledgement();
            return entries.Select(e => e.Count);
        }
    }

    [Fact]
    public void A_value_that_was_too_large_is_a_result_and_belongs_into_the_session()
    {
        LoneNode node = Raised(acknowledged: true);
        Submit(node, new Put("k"u8, new byte[Limits.MaxValueBytes]));
        node.HearAcknowledgement();
        WaitingClient append = Submit(node, new Append("k"u8, "1"u8));
        node.HearAcknowledgement();
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied), (append.Reply!.Code, append.Reply.Outcome));
        Assert.NotEqual(0U, append.Reply.History);
    }

    /// <summary>The raise is committed, and a leader that has just been elected has not applied it yet: what others had executed is not unknown.</summary>
    [Fact]
    public void A_leader_that_has_not_applied_what_was_committed_before_its_term_calls_no_operation_unknown()
    {
        LoneNode node = Raised(acknowledged: true);
        node.Restart();
        node.LeadWithVotesOfNode1();
        WaitingClient append = Submit(node, new Append("k"u8, "1"u8));
        Assert.Null(append.Reply);
        node.HearAcknowledgement();
        Assert.Equal(FeatureLevel.Max, node.Replica.RaisedTo);
        Ticks(node, 1);
        node.HearAcknowledgement();
        Assert.Equal(ErrorCode.None, append.Reply?.Code);
    }

    [Fact]
    public void What_waits_for_the_level_is_refused_when_the_group_turns_out_to_be_below_it()
    {
        var node = new LoneNode();
        node.LeadWithVotesOfNode1();
        WaitingClient append = Submit(node, new Append("k"u8, "1"u8));
        Assert.Null(append.Reply);
        node.HearAcknowledgement();
        Ticks(node, 1);
        Assert.Equal(ErrorCode.Unsupported, append.Reply?.Code);
    }

    [Fact]
    public void Nothing_that_needs_a_level_is_in_the_log_before_the_folder_is_marked_for_it()
    {
        var marked = new List<ushort>();
        LoneNode node = Following(o => o with { MarkFolder = marked.Add });
        ulong before = node.Replica.DurableLastIndex;
        AppendEntries append = Append(node, Put(before + 1), Raise(before + 2, FeatureLevel.Max));
        node.Hear(append);
        node.Turn();
        Assert.Equal((before + 1, 0), (node.Replica.DurableLastIndex, marked.Count));
        Assert.Equal(before + 1, LastAcknowledged(node));

        node.TurnSnapshots();
        Assert.Equal([FeatureLevel.Max], marked);
        node.Hear(append);
        node.Turn();
        Assert.Equal(before + 2, node.Replica.DurableLastIndex);
        Assert.Equal(before + 2, LastAcknowledged(node));
    }

    [Fact]
    public void A_leader_marks_its_own_folder_before_it_proposes()
    {
        var marked = new List<ushort>();
        LoneNode node = Leading(o => o with { MarkFolder = marked.Add });
        node.Store.OnPeerHello(N1, 1, FeatureLevel.Max);
        node.Store.OnPeerHello(N3, 1, FeatureLevel.Max);
        Ticks(node, 3);
        Assert.Empty(RaisesSent(node));
        node.TurnSnapshots();
        Ticks(node, 1);
        Assert.NotEmpty(RaisesSent(node));
        Assert.Equal([FeatureLevel.Max], marked);
    }

    [Fact]
    public void What_needs_a_later_build_is_not_taken_and_the_rest_of_the_append_is()
    {
        LoneNode node = Following();
        ulong before = node.Replica.DurableLastIndex;
        Entry above = Put(before + 2) with { FeatureLevel = FeatureLevel.Max + 1 };
        node.Hear(Append(node, Put(before + 1), above, Put(before + 3)));
        node.Turn();
        Assert.Equal(before + 1, node.Replica.DurableLastIndex);
        Assert.Equal(before + 1, LastAcknowledged(node));

        // It goes on following, and says once what is the matter.
        node.Hear(new AppendEntries(new ReplicaId(1), Self, Term, before + 1, Term, before + 1, [above with { Index = before + 2 }]));
        node.Turn();
        Assert.Equal(before + 1, node.Replica.DurableLastIndex);
        Assert.Equal(N1, node.Replica.View.Leader);
        Assert.Equal(2, node.Store.Counters.AboveLevel);
        Assert.Contains("upgrade this node", Assert.Single(node.Events, e => e.Kind == NodeEventKind.AboveLevel).Text);
    }

    [Fact]
    public void A_no_op_whose_payload_nobody_knows_is_not_taken()
    {
        LoneNode node = Following();
        ulong before = node.Replica.DurableLastIndex;
        node.Hear(Append(node, LoneNode.NoOp(Term, before + 1) with { Payload = new byte[] { 9 } }));
        node.Turn();
        Assert.Equal((before, 1), (node.Replica.DurableLastIndex, node.Store.Counters.AboveLevel));
    }

    [Fact]
    public void A_snapshot_is_taken_at_the_level_of_the_group_and_not_given_to_an_older_build()
    {
        LoneNode node = Raised(acknowledged: true, o => o with { SnapshotMinEntries = 1, MaxTrailingEntries = 0 });
        TakeSnapshot(node);
        ulong index = node.Replica.SnapshotIndex;
        string file = $"/data/snap/1/{SnapshotName.Of(index, node.Replica.DurableTermAt(index))}";
        using (SnapshotReader reader = SnapshotReader.Open(node.Disk, file))
        {
            Assert.Equal(FeatureLevel.Max, reader.Header.FeatureLevel);
        }

        node.Sent.Clear();
        node.HearPayload(SnapshotPayload.Pull(new GroupId(1), index, 0, 0, 0), from: 3);
        node.TurnSnapshots();
        Assert.NotEqual(0, LastPiece(node).TotalBytes);

        node.Store.OnPeerHello(N3, 2, FeatureLevel.First);
        node.HearPayload(SnapshotPayload.Pull(new GroupId(1), index, 0, 0, 0), from: 3);
        node.TurnSnapshots();
        Assert.Equal(0, LastPiece(node).TotalBytes);

        static SnapshotPiece LastPiece(LoneNode node) =>
            node.Sent.Select(payload => SnapshotPayload.TryRead(new NodeId(2), payload.Span)).OfType<SnapshotPiece>().Last();
    }

    [Fact]
    public void A_snapshot_of_a_later_build_is_not_installed()
    {
        LoneNode source = Raised(acknowledged: true, o => o with { SnapshotMinEntries = 1 });
        TakeSnapshot(source);
        ulong index = source.Replica.SnapshotIndex;
        ulong term = source.Replica.DurableTermAt(index);
        byte[] file = source.Disk.ReadAll($"/data/snap/1/{SnapshotName.Of(index, term)}");

        foreach (ushort level in (ushort[])[FeatureLevel.First, FeatureLevel.Max])
        {
            var node = new LoneNode(self: 3, adjust: o => o with { MaxLevel = level });
            var snapshot = new SnapshotMetadata(index, term, 1, ConfState.Of(new ReplicaId(1), Self, new ReplicaId(3)));
            node.Hear(new InstallSnapshot(Self, new ReplicaId(3), term, snapshot));
            node.Turn();
            node.TurnSnapshots();
            node.HearPayload(SnapshotPayload.Piece(new GroupId(1), index, term, 0, file.Length, file), from: 2);
            node.TurnSnapshots();
            node.InstallFetched();
            node.TurnSnapshots();
            bool taken = level == FeatureLevel.Max;
            Assert.Equal(taken ? index : 5, node.Replica.SnapshotIndex);
            Assert.Equal(taken ? 0 : 1, node.Store.Counters.AboveLevel);
            Assert.Equal(taken, node.Disk.ListFiles("/data/snap/1").Any());
        }
    }

    [Fact]
    public void No_member_is_added_that_has_not_said_the_level_of_the_group()
    {
        LoneNode node = Raised(acknowledged: true);
        node.Store.OnPeerLost(N3);
        ReplicaPlacement[] places = [.. new ulong[] { 1, 2, 33 }.Select((id, n) => new ReplicaPlacement(id, new NodeId((uint)n + 1)))];
        node.Store.UseRouting(new RoutingTable(2, [new GroupId(1)], [[], places]));
        node.Turn();
        Assert.Equal(ConfChangeOutcome.LevelTooLow, ProposeLearner().Outcome);
        node.Store.OnPeerHello(N3, 2, FeatureLevel.Max);
        Assert.Equal(ConfChangeOutcome.Accepted, ProposeLearner().Outcome);

        ConfChangeReply ProposeLearner()
        {
            ConfChangeReply reply = default;
            var change = new ConfChange(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.AddLearner, new ReplicaId(33))]);
            node.Store.ProposeConfChange(new GroupId(1), change, answer => reply = answer);
            node.Turn();
            return reply;
        }
    }

    /// <summary>The log takes no more, so the raise is not on its way to the disk yet: it is in the core's log, and what follows comes behind it.</summary>
    [Fact]
    public void No_member_is_added_behind_a_raise_that_the_full_log_has_not_taken()
    {
        var node = new LoneNode(nodes: 4, adjust: o => o with { Wal = o.Wal with { MaxQueuedBytes = 1 } });
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        ReplicaPlacement[] places = [.. new ulong[] { 1, 2, 3, 44 }.Select((id, n) => new ReplicaPlacement(id, new NodeId((uint)n + 1)))];
        node.Store.UseRouting(new RoutingTable(2, [new GroupId(1)], [[], places]));
        node.Store.OnPeerHello(new NodeId(4), 1, FeatureLevel.First);
        node.Turn();
        ulong durable = node.Replica.DurableLastIndex;

        // Two turns of the loop alone: the first write fills the queue, the second stays with the loop.
        for (int i = 0; i < 2; i++)
        {
            node.Store.Submit(new KvRequest { Operation = new Put("k"u8, new byte[8]) }, new WaitingClient());
            node.Store.Loops[0].RunOnce();
        }

        node.Store.OnPeerHello(N1, 1, FeatureLevel.Max);
        node.Store.OnPeerHello(N3, 1, FeatureLevel.Max);
        for (int i = 0; i < 3; i++)
        {
            node.Pass(50);
            node.Store.Loops[0].RunOnce();
        }

        ConfChangeReply reply = default;
        var change = new ConfChange(ConfTransition.Auto, [new ConfChangeStep(ConfChangeKind.AddLearner, new ReplicaId(44))]);
        node.Store.ProposeConfChange(new GroupId(1), change, answer => reply = answer);
        node.Store.Loops[0].RunOnce();
        Assert.Equal(durable, node.Replica.DurableLastIndex);
        node.Turn();
        Assert.Equal(ConfChangeOutcome.LevelTooLow, reply.Outcome);
        Assert.Contains("feature level", reply.Detail);
        Assert.Single(RaisesSent(node).Select(e => e.Index).Distinct());
    }

    [Fact]
    public void A_folder_marked_for_a_level_stays_marked_when_a_lower_mark_comes_late()
    {
        var marked = new List<ushort>();
        LoneNode node = Following(o => o with { MarkFolder = marked.Add });
        node.Store.Shared.Folder.Mark(FeatureLevel.Max + 1);
        node.Store.Shared.Folder.Mark(FeatureLevel.Max);
        Assert.True(node.Store.Shared.Folder.IsMarkedFor(FeatureLevel.Max + 1));
        Assert.Equal([(ushort)(FeatureLevel.Max + 1)], marked);
    }

    /// <summary>An upgrade can be taken back until the level is raised, and the first builds read segments of version 1 only.</summary>
    [Fact]
    public void The_log_stays_one_that_the_first_builds_open_until_the_folder_is_marked()
    {
        LoneNode node = Following(o => o with
        {
            MarkFolder = _ => { },
            Wal = new WalOptions { SegmentBytes = 64 << 10, PurgeTriggerBytes = 256 << 10 },
        });
        node.Restart();
        ulong last = Fill(node, node.Replica.DurableLastIndex, entries: 10);
        Assert.True(SegmentVersions(node).Count > 2);
        Assert.All(SegmentVersions(node), version => Assert.Equal(1, version));

        node.Hear(Append(node, Raise(last + 1, FeatureLevel.Max)));
        node.Turn();
        node.TurnSnapshots();
        last = Fill(node, last, entries: 3);
        Assert.Equal(2, SegmentVersions(node)[^1]);

        node.Restart(o => o with { FolderLevel = FeatureLevel.Max });
        Assert.Equal(2, SegmentVersions(node)[^1]);
    }

    /// <summary>Puts of 10 KiB behind an index; the answer is the new last one.</summary>
    private static ulong Fill(LoneNode node, ulong last, int entries)
    {
        for (int i = 0; i < entries; i++)
        {
            node.Hear(Append(node, Put(last + 1, valueBytes: 10 << 10)));
            node.Turn();
            Assert.Equal(++last, node.Replica.DurableLastIndex);
        }

        return last;
    }

    private static List<int> SegmentVersions(LoneNode node)
    {
        string wal = $"{node.Options.Directory}/wal";
        return
        [
            .. node.Disk.ListFiles(wal).Where(name => name.StartsWith("wal-", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
                .Select(name => (int)node.Disk.ReadAll($"{wal}/{name}")[8]),
        ];
    }

    /// <summary>The leader of its term, with an entry of it committed.</summary>
    private static LoneNode Leading(Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        var node = new LoneNode(adjust: adjust);
        node.LeadWithVotesOfNode1();
        node.HearAcknowledgement();
        return node;
    }

    /// <summary>A leader that has raised its group; acknowledged: and that is committed.</summary>
    private static LoneNode Raised(bool acknowledged, Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        LoneNode node = Leading(adjust);
        node.Hear(new AppendAccepted(new ReplicaId(3), Self, node.Replica.View.Term, node.Replica.DurableLastIndex));
        node.Store.OnPeerHello(N1, 1, FeatureLevel.Max);
        node.Store.OnPeerHello(N3, 1, FeatureLevel.Max);
        Ticks(node, 1);
        Assert.Equal(FeatureLevel.Max, node.Replica.RaisedTo);
        if (acknowledged)
        {
            node.HearAcknowledgement();
            Ticks(node, 1);
            Assert.Equal(FeatureLevel.Max, node.Store.Groups[0].Level);
        }

        return node;
    }

    private static LoneNode Following(Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        var node = new LoneNode(adjust: adjust);
        node.Hear(new AppendEntries(new ReplicaId(1), Self, Term, 5, 5, 6, [LoneNode.NoOp(Term, 6)]));
        node.Turn();
        Assert.Equal(6ul, node.Replica.DurableLastIndex);
        return node;
    }

    private static AppendEntries Append(LoneNode node, params Entry[] entries)
    {
        ulong last = node.Replica.DurableLastIndex;
        return new AppendEntries(new ReplicaId(1), Self, Term, last, Term, last, entries);
    }

    private static Entry Put(ulong index, int valueBytes = 8)
    {
        var batch = new CommandBatchWriter(1);
        batch.Add(new Put("k"u8, new byte[valueBytes]), null, FeatureLevel.First);
        return LoneNode.NoOp(Term, index) with { Kind = EntryKind.Command, Payload = batch.TakePayload() };
    }

    private static Entry Raise(ulong index, ushort level) => LoneNode.NoOp(Term, index) with { Payload = LevelRaise.Encode(level) };

    private static void Put(LoneNode node) => Submit(node, new Put("k"u8, new byte[8]));

    private static WaitingClient Submit(LoneNode node, WriteOperation operation)
    {
        var client = new WaitingClient();
        node.Store.Submit(new KvRequest { Operation = operation }, client);
        node.Turn();
        return client;
    }

    /// <summary>Of everything that is applied: one of an earlier index may be on its way.</summary>
    private static void TakeSnapshot(LoneNode node)
    {
        for (int i = 0; i < 3; i++)
        {
            Ticks(node, 1);
            node.TurnSnapshots();
            node.Turn();
        }

        Assert.Equal(node.Replica.DurableLastIndex, node.Replica.SnapshotIndex);
    }

    private static void Ticks(LoneNode node, int ticks)
    {
        for (int i = 0; i < ticks; i++)
        {
            node.Pass(50);
            node.Turn();
        }
    }

    /// <summary>Heartbeats that a peer answers, and acknowledges nothing.</summary>
    private static void Rounds(LoneNode node, uint from, int times)
    {
        for (int i = 0; i < times; i++)
        {
            Ticks(node, 2);
            node.HearAnswer(node.Replica.View.Term, node.LastRoundSent(), from: from);
            node.Turn();
        }
    }

    private static IEnumerable<Entry> RaisesSent(LoneNode node) => node.SentMessages().OfType<AppendEntries>()
        .SelectMany(a => a.Entries)
        .Where(e => e is { Kind: EntryKind.NoOp, Payload.IsEmpty: false });

    private static List<AppendEntries> AppendsTo(LoneNode node, ulong replica) =>
        [.. node.SentMessages().OfType<AppendEntries>().Where(a => a.To.Value == replica)];

    private static ulong LastAcknowledged(LoneNode node) => node.SentMessages().OfType<AppendAccepted>().Last().Index;
}
