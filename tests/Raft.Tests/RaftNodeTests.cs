using KvStore.Raft.Tests.Harness;
using static KvStore.Raft.Tests.Harness.LoneReplica;

namespace KvStore.Raft.Tests;

/// <summary>What the paper does not say: the Ready contract, limits, and messages at the wrong moment.</summary>
public sealed class RaftNodeTests
{
    [Fact]
    public void A_completion_of_an_older_term_trims_nothing()
    {
        // A-B-A: entry 2 of term 1 is being written, replaced by one of term 2, and put back by a leader of term 3.
        var lone = new LoneReplica(3);
        RaftNode node = lone.Node;
        node.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 0, Log(1, 1)));
        Ready first = node.TakeReady();
        node.Step(new AppendEntries(Peer(3), Me, 2, 1, 1, 0, [NewEntry(2, 2)]));
        Ready second = node.TakeReady();
        node.Step(new AppendEntries(Peer(2), Me, 3, 1, 1, 2, [NewEntry(2, 1)]));
        Ready third = node.TakeReady();
        Assert.Equal([2ul], third.Entries.Select(entry => entry.Index));

        lone.Replica.Disk.Write(first.Entries);
        node.Step(first.OnSynced!);
        lone.Replica.Disk.Write(second.Entries);
        node.Step(second.OnSynced!);

        // Index 2 is committed, and on disk stands B: nothing may be applied yet.
        Assert.Equal(2ul, node.CommitIndex);
        Assert.False(node.HasReady);
        lone.Replica.Disk.Write(third.Entries);
        node.Step(third.OnSynced!);
        Assert.Equal([1ul, 1ul], node.TakeReady().Committed.Select(entry => entry.Term));
    }

    [Fact]
    public void Every_append_carries_the_commit_index_of_its_moment()
    {
        var lone = new LoneReplica(3);
        lone.Node.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 1, Log(1, 1)));
        Ready ready = lone.Node.TakeReady();
        Assert.Equal(1ul, ready.HardState?.Commit);
        Assert.True(ready.MustSync);
        Assert.Empty(ready.Messages);
        Assert.Single(ready.MessagesAfterSync);
    }

    [Fact]
    public void A_commit_index_that_moves_alone_need_not_be_synced()
    {
        var lone = new LoneReplica(3);
        lone.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 0, Log(1)));
        lone.Node.Step(new Heartbeat(Peer(2), Me, 1, 1, 1));
        Ready ready = lone.Node.TakeReady();
        Assert.Equal(new HardState(1, default, 1), ready.HardState);
        Assert.False(ready.MustSync);
        Assert.Null(ready.OnSynced);
    }

    [Fact]
    public void A_ready_is_handed_out_once()
    {
        var lone = new LoneReplica(3);
        lone.Node.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 0, Log(1)));
        lone.Node.TakeReady();
        Assert.False(lone.Node.HasReady);
        Ready empty = lone.Node.TakeReady();
        Assert.Null(empty.HardState);
        Assert.Empty(empty.Entries);
        Assert.Empty(empty.MessagesAfterSync);
    }

    [Fact]
    public void A_message_for_another_replica_id_is_ignored()
    {
        var lone = new LoneReplica(3);
        lone.Step(new Heartbeat(Peer(2), Peer(9), 5, 0, 1));
        Assert.Equal(0ul, lone.Node.Term);
    }

    [Fact]
    public void A_granted_pre_vote_of_an_earlier_campaign_does_not_count()
    {
        var lone = new LoneReplica(3);
        lone.Replica.Do(node => node.Campaign());
        lone.Step(new Heartbeat(Peer(2), Me, 4, 0, 1));
        lone.Replica.Do(node => node.Campaign());
        lone.Step(new PreVoteGranted(Peer(3), Me, 4));
        Assert.Equal(Role.PreCandidate, lone.Node.Role);
    }

    [Fact]
    public void A_heartbeat_that_claims_more_than_the_log_holds_is_a_broken_invariant()
    {
        var lone = new LoneReplica(3);
        Assert.Throws<InvariantViolationException>(() => lone.Node.Step(new Heartbeat(Peer(2), Me, 1, 5, 1)));
    }

    [Fact]
    public void Two_leaders_in_a_term_are_a_broken_invariant()
    {
        var lone = new LoneReplica(3);
        lone.Step(new Heartbeat(Peer(2), Me, 1, 0, 1));
        Assert.Throws<InvariantViolationException>(() => lone.Node.Step(new Heartbeat(Peer(3), Me, 1, 0, 1)));
    }

    [Fact]
    public void A_new_leader_changes_nothing_before_its_term_has_begun()
    {
        var lone = new LoneReplica(3, [1], new HardState(1, default, 1));
        lone.Lead(1);
        var change = new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.Remove, Peer(3))]);

        // What it found in its log is applied, so only the no-op of its own term is missing (the flaw of single-server changes
        // found in 2015: a change may not start before an entry of the term is committed).
        lone.Step(new AppendAccepted(Peer(2), Me, 2, 1));
        Assert.False(lone.Node.HasCommittedInTerm);
        ProposeResult early = default;
        lone.Replica.Do(node => early = node.ProposeConfChange(change));
        Assert.Equal(ProposeOutcome.ConfChangeRefused, early.Outcome);
        lone.Step(new AppendAccepted(Peer(2), Me, 2, 2));
        ProposeResult late = default;
        lone.Replica.Do(node => late = node.ProposeConfChange(change));
        Assert.Equal(ProposeOutcome.Accepted, late.Outcome);
    }

    [Fact]
    public void A_group_may_start_from_a_mark_with_a_term()
    {
        var disk = new MemoryLog(new SnapshotMetadata(5, 5, 5, TestCluster.VotersOnly(1)));
        var node = new RaftNode(new RaftConfig { Id = Me, Seed = 1 }, disk, default, 5, () => 0);
        Assert.Equal((5ul, 5ul, 5ul), (node.Term, node.CommitIndex, node.AppliedIndex));
        Assert.False(node.HasReady);
        node.Campaign();
        Ready vote = node.TakeReady();
        node.Step(vote.OnSynced!);
        Entry first = Assert.Single(node.TakeReady().Entries);
        Assert.Equal((6ul, 6ul, 6ul), (first.Index, first.Term, first.Clock));
    }

    [Fact]
    public void A_batch_uses_as_many_revisions_as_it_has_commands()
    {
        var lone = new LoneReplica(1);
        lone.Replica.Do(node => node.Campaign());
        List<ulong> clocks = [];
        foreach (uint count in new uint[] { 5, 1, 70_000, 1 })
        {
            lone.Replica.Do(node => clocks.Add(node.Propose(default, count, 1).Clock));
        }

        Assert.Equal([2ul, 7, 8, 70_008], clocks);
    }

    [Fact]
    public void Lowest_voter_match_counts_voters_that_never_answered()
    {
        var lone = new LoneReplica(3);
        lone.Lead(1);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        Assert.Equal(0ul, lone.Node.LowestVoterMatch);
        lone.Step(new AppendAccepted(Peer(3), Me, 1, 1));
        Assert.Equal(1ul, lone.Node.LowestVoterMatch);
    }

    [Fact]
    public void A_rejection_of_an_overtaken_append_is_ignored()
    {
        var lone = new LoneReplica(3);
        lone.Lead(1);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Sent<Message>();
        lone.Step(new AppendRejected(Peer(2), Me, 1, 0));
        Assert.Empty(lone.Sent<AppendEntries>());
        Assert.Equal(new ProgressStatus(Peer(2), 1, 2, ProgressState.Replicate, true, false), lone.Node.Progress[1]);
    }

    [Fact]
    public void B11_committed_entries_are_read_once_to_look_for_a_configuration_change()
    {
        const ulong entries = 5_000;
        var disk = new MemoryLog(TestCluster.StartMark(TestCluster.VotersOnly(3)));
        byte[] change = new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.Remove, Peer(3))]).Encode();
        disk.Write([.. Log([.. Enumerable.Repeat(1ul, (int)entries - 1)]), new Entry(1, entries, EntryKind.ConfChange, 0, entries, 1, change)]);
        var node = new RaftNode(new RaftConfig { Id = Me, Seed = 1, ElectionTicks = 10 }, disk, new HardState(1, default, entries), 0, () => 0);
        for (int tick = 0; tick < 200; tick++)
        {
            // Nothing is applied meanwhile: each of these ticks after the first timeout would like to campaign.
            node.Tick();
        }

        Assert.Equal(Role.Follower, node.Role);
        Assert.InRange(disk.EntriesRead, 1, (long)entries);
    }

    [Fact]
    public void B11_a_campaign_is_allowed_once_the_change_that_was_found_is_applied()
    {
        byte[] change = new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.Remove, Peer(3))]).Encode();
        var disk = new MemoryLog(TestCluster.StartMark(TestCluster.VotersOnly(3)));
        disk.Write([new Entry(1, 1, EntryKind.ConfChange, 0, 1, 1, change)]);
        var node = new RaftNode(new RaftConfig { Id = Me, Seed = 1 }, disk, new HardState(1, default, 1), 0, () => 0);
        node.Campaign();
        Assert.Equal(Role.Follower, node.Role);
        node.Applied(Assert.Single(node.TakeReady().Committed).Index);
        node.Campaign();
        Assert.Equal(Role.PreCandidate, node.Role);
    }

    [Fact]
    public void B11_reads_do_not_resend_to_a_peer_that_is_slow_to_answer_a_probe()
    {
        var lone = new LoneReplica(3);
        lone.Lead(1);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Replica.Do(node => node.Propose(new byte[10_000], 1, 1));
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 2));
        lone.Sent<Message>();

        // 3 answers every heartbeat and no append: those are behind in its disk.
        ulong round = 1;
        for (int heartbeat = 1; heartbeat <= 3; heartbeat++)
        {
            lone.Replica.Do(node => node.StartRound(round));
            lone.Step(new HeartbeatResponse(Peer(3), Me, 1, round++));
            for (int read = 0; read < 100; read++)
            {
                lone.Replica.Do(node => node.ReadIndex(1));
                lone.Replica.Do(node => node.StartReadRound(round));
                lone.Step(new HeartbeatResponse(Peer(3), Me, 1, round));
                lone.Step(new HeartbeatResponse(Peer(2), Me, 1, round++));
            }

            Assert.Single(lone.Sent<AppendEntries>(), append => append.To == Peer(3));
        }

        Assert.Equal(round - 1, lone.Node.ConfirmedRound);
    }

    [Theory]
    [InlineData(RaftNode.MaxTermJump + 1, false)]
    [InlineData(RaftNode.MaxTermJump, true)]
    public void D1_a_term_may_jump_only_so_far(ulong jump, bool admitted)
    {
        var lone = new LoneReplica(3, [3], new HardState(3, default, 1));
        Message[] messages =
        [
            new TransferVoteRequest(Peer(2), Me, 3 + jump, 1, 3),
            new Heartbeat(Peer(2), Me, 3 + jump, 0, 1),
            new AppendRejected(Peer(2), Me, 3 + jump, 0),
        ];
        foreach (Message message in messages)
        {
            lone.Step(message);
        }

        Assert.Equal(admitted ? 3 + jump : 3, lone.Node.Term);
        Assert.Equal(admitted ? 0 : messages.Length, lone.Node.RefusedTerms);
    }

    [Fact]
    public void D1_a_replica_that_has_seen_no_term_takes_the_group_s_whatever_it_is()
    {
        var lone = new LoneReplica(3);
        lone.Step(new Heartbeat(Peer(2), Me, 1UL << 40, 0, 1));
        Assert.Equal(1UL << 40, lone.Node.Term);
    }
}
