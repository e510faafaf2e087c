using KvStore.Raft.Tests.Harness;
using static KvStore.Raft.Tests.Harness.LoneReplica;

namespace KvStore.Raft.Tests;

/// <summary>The rules of the Raft paper (extended version), one test each, in its order.</summary>
public sealed class PaperTests
{
    // 5.1 Raft basics

    [Theory]
    [InlineData(Role.Follower)]
    [InlineData(Role.Candidate)]
    [InlineData(Role.Leader)]
    public void Section_5_1_a_higher_term_makes_anybody_a_follower_of_it(Role role)
    {
        LoneReplica lone = InRole(role);
        ulong higher = lone.Node.Term + 1;
        lone.Step(new AppendEntries(Peer(2), Me, higher, 0, 0, 0, []));
        Assert.Equal((Role.Follower, higher, Peer(2)), (lone.Node.Role, lone.Node.Term, lone.Node.Leader));
    }

    [Fact]
    public void Section_5_1_a_request_of_an_older_term_is_refused()
    {
        var lone = new LoneReplica(3, [1], new HardState(5, default, 0));
        lone.Step(new AppendEntries(Peer(2), Me, 4, 1, 1, 1, [NewEntry(2, 4)]));
        AppendRejected answer = Assert.Single(lone.Sent<AppendRejected>());
        Assert.Equal(5ul, answer.Term);
        Assert.Equal((1ul, 0ul), (lone.Node.LastIndex, lone.Node.CommitIndex));
    }

    [Fact]
    public void Section_5_1_the_term_survives_a_crash()
    {
        var lone = new LoneReplica(3);
        lone.Step(new AppendEntries(Peer(2), Me, 7, 0, 0, 0, []));
        lone.Replica.Crash();
        lone.Replica.Restart();
        Assert.Equal(7ul, lone.Node.Term);
    }

    // 5.2 Leader election

    [Fact]
    public void Section_5_2_servers_start_as_followers() => Assert.Equal(Role.Follower, new LoneReplica(3).Node.Role);

    [Fact]
    public void Section_5_2_a_follower_that_hears_nothing_asks_for_votes()
    {
        var lone = new LoneReplica(3);
        lone.Tick(20);
        Assert.Equal([Peer(2), Peer(3)], lone.Sent<PreVoteRequest>().Select(request => request.To));
    }

    [Fact]
    public void Section_5_2_a_follower_that_hears_its_leader_stays_one()
    {
        var lone = new LoneReplica(3);
        for (ulong round = 1; round <= 20; round++)
        {
            lone.Tick(9);
            lone.Step(new Heartbeat(Peer(2), Me, 1, 0, round));
        }

        Assert.Equal(Role.Follower, lone.Node.Role);
        Assert.Empty(lone.Sent<BallotRequest>());
    }

    [Fact]
    public void Section_5_2_a_candidate_raises_its_term_and_votes_for_itself()
    {
        LoneReplica lone = InRole(Role.Candidate);
        Assert.Equal(1ul, lone.Node.Term);
        Assert.Equal(new HardState(1, Me, 0), lone.Replica.Disk.HardState);
    }

    [Theory]
    [InlineData(1, 0, Role.Leader)]
    [InlineData(3, 0, Role.Candidate)]
    [InlineData(3, 1, Role.Leader)]
    [InlineData(4, 1, Role.Candidate)]
    [InlineData(4, 2, Role.Leader)]
    [InlineData(5, 1, Role.Candidate)]
    [InlineData(5, 2, Role.Leader)]
    public void Section_5_2_a_majority_wins(int voters, int votes, Role expected)
    {
        var lone = new LoneReplica(voters);
        lone.Replica.Do(node => node.Campaign());
        for (ulong voter = 2; voter <= (ulong)voters; voter++)
        {
            lone.Step(new PreVoteGranted(Peer(voter), Me, 1));
        }

        for (ulong voter = 2; voter <= (ulong)votes + 1; voter++)
        {
            lone.Step(new VoteGranted(Peer(voter), Me, 1));
        }

        Assert.Equal(expected, lone.Node.Role);
    }

    [Fact]
    public void Section_5_2_each_server_votes_once_a_term_even_across_a_crash()
    {
        var lone = new LoneReplica(3);
        lone.Step(new VoteRequest(Peer(2), Me, 1, 0, 0));
        Assert.IsType<VoteGranted>(Assert.Single(lone.Sent<Message>()));
        lone.Replica.Crash();
        lone.Replica.Restart();
        lone.Step(new VoteRequest(Peer(3), Me, 1, 9, 1));
        Assert.IsType<VoteRefused>(Assert.Single(lone.Sent<Message>()));

        // The same candidate may ask again: its first answer may have been lost.
        lone.Step(new VoteRequest(Peer(2), Me, 1, 0, 0));
        Assert.IsType<VoteGranted>(Assert.Single(lone.Sent<Message>()));
    }

    [Fact]
    public void Section_5_2_a_candidate_follows_a_leader_of_its_own_term()
    {
        LoneReplica lone = InRole(Role.Candidate);
        lone.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 0, []));
        Assert.Equal((Role.Follower, 1ul, Peer(2)), (lone.Node.Role, lone.Node.Term, lone.Node.Leader));
    }

    [Fact]
    public void Section_5_2_a_repeated_vote_counts_once()
    {
        var lone = new LoneReplica(5);
        lone.Replica.Do(node => node.Campaign());
        for (int i = 0; i < 4; i++)
        {
            lone.Step(new PreVoteGranted(Peer(2), Me, 1));
        }

        Assert.Equal(Role.PreCandidate, lone.Node.Role);
    }

    [Fact]
    public void Section_5_2_timeouts_are_spread_over_one_to_two_election_timeouts()
    {
        Dictionary<int, int> campaigns = [];
        for (ulong seed = 1; seed <= 200; seed++)
        {
            var lone = new LoneReplica(3, adjust: config => config with { Seed = seed });
            int ticks = 0;
            while (lone.Node.Role == Role.Follower)
            {
                lone.Tick(1);
                ticks++;
            }

            campaigns[ticks] = campaigns.GetValueOrDefault(ticks) + 1;
        }

        Assert.Equal(Enumerable.Range(10, 10), campaigns.Keys.Order());
        Assert.All(campaigns.Values, count => Assert.InRange(count, 5, 45));
    }

    // 5.3 Log replication

    [Fact]
    public void Section_5_3_a_leader_appends_and_sends_in_parallel()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Step(new AppendAccepted(Peer(3), Me, 1, 1));
        lone.Sent<Message>();
        lone.Replica.Do(node => node.Propose(new byte[] { 7 }, 1, 1));
        Assert.Equal([(Peer(2), 1ul), (Peer(3), 1ul)], lone.Sent<AppendEntries>().Select(append => (append.To, append.PrevIndex)));
        Assert.Equal(2ul, lone.Replica.Disk.LastIndex);
    }

    [Theory]
    [InlineData(3, 0, false)]
    [InlineData(3, 1, true)]
    [InlineData(4, 1, false)]
    [InlineData(5, 1, false)]
    [InlineData(5, 2, true)]
    public void Section_5_3_an_entry_is_committed_when_a_majority_has_it(int voters, int acknowledgements, bool committed)
    {
        var lone = new LoneReplica(voters);
        lone.Lead(voters / 2);
        for (ulong peer = 2; peer <= (ulong)acknowledgements + 1; peer++)
        {
            lone.Step(new AppendAccepted(Peer(peer), Me, 1, 1));
        }

        Assert.Equal(committed ? 1ul : 0ul, lone.Node.CommitIndex);
    }

    [Fact]
    public void Section_5_3_committing_an_entry_commits_all_before_it()
    {
        var lone = new LoneReplica(3, [1, 1, 2], new HardState(2, default, 0));
        lone.Lead(1);
        lone.Step(new AppendAccepted(Peer(2), Me, 3, 4));
        Assert.Equal([1ul, 2, 3, 4], lone.Replica.State.Select(entry => entry.Index));
    }

    [Fact]
    public void Section_5_3_a_follower_learns_the_commit_index_and_applies_in_order()
    {
        var lone = new LoneReplica(3);
        lone.Step(new AppendEntries(Peer(2), Me, 1, 0, 0, 2, Log(1, 1, 1)));
        Assert.Equal([1ul, 2], lone.Replica.State.Select(entry => entry.Index));
    }

    [Fact]
    public void Section_5_3_the_commit_index_is_the_smaller_of_the_leaders_and_the_last_new_entry()
    {
        // Entries 3 and 4 are of a dead leader. The append confirms entries 1 and 2 only, though the leader has committed 4.
        var lone = new LoneReplica(3, [1, 1, 1, 1], new HardState(1, default, 0));
        lone.Step(new AppendEntries(Peer(2), Me, 2, 1, 1, 4, [NewEntry(2, 1)]));
        Assert.Equal(2ul, lone.Node.CommitIndex);
        Assert.Equal(2ul, Assert.Single(lone.Sent<AppendAccepted>()).Index);
        Assert.Equal(4ul, lone.Node.LastIndex);
    }

    [Theory]
    [InlineData(0, 0, true)]
    [InlineData(1, 1, true)]
    [InlineData(2, 2, true)]
    [InlineData(1, 2, false)]
    [InlineData(2, 1, false)]
    [InlineData(3, 3, false)]
    public void Section_5_3_an_append_is_refused_where_the_previous_entry_does_not_match(ulong index, ulong term, bool accepted)
    {
        var lone = new LoneReplica(3, [1, 2], new HardState(2, default, 0));
        lone.Step(new AppendEntries(Peer(2), Me, 3, index, term, 0, []));
        Assert.Equal(accepted ? typeof(AppendAccepted) : typeof(AppendRejected), Assert.Single(lone.Sent<Message>()).GetType());
    }

    [Fact]
    public void Section_5_3_a_conflicting_entry_and_all_after_it_go()
    {
        var lone = new LoneReplica(3, [1, 1, 1, 1], new HardState(1, default, 0));
        lone.Step(new AppendEntries(Peer(2), Me, 2, 2, 1, 0, [NewEntry(3, 2)]));
        Assert.Equal((3ul, 2ul), (lone.Replica.Disk.LastIndex, lone.Replica.Disk.Term(3)));
    }

    [Fact]
    public void Section_5_3_a_rejection_names_the_last_entry_that_can_match()
    {
        var lone = new LoneReplica(3, [1, 1, 4, 4, 4], new HardState(4, default, 0));
        lone.Step(new AppendEntries(Peer(2), Me, 5, 9, 3, 0, []));
        AppendRejected answer = Assert.Single(lone.Sent<AppendRejected>());
        Assert.Equal((9ul, 2ul, 1ul), (answer.Index, answer.HintIndex, answer.HintTerm));
    }

    [Fact]
    public void Section_5_3_a_leader_never_deletes_from_its_own_log()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendRejected(Peer(2), Me, 1, 0));
        Assert.Equal(1ul, lone.Node.LastIndex);
    }

    // 5.4.1 Election restriction

    [Theory]
    [InlineData(1, 2, false)]
    [InlineData(2, 1, false)]
    [InlineData(2, 2, true)]
    [InlineData(3, 2, true)]
    [InlineData(9, 1, false)]
    [InlineData(1, 3, true)]
    public void Section_5_4_1_a_vote_goes_to_a_log_at_least_as_up_to_date(ulong lastIndex, ulong lastTerm, bool granted)
    {
        foreach (bool preVote in new[] { true, false })
        {
            var lone = new LoneReplica(3, [1, 2], new HardState(3, default, 0));
            lone.Step(preVote ? new PreVoteRequest(Peer(2), Me, 4, lastIndex, lastTerm) : new VoteRequest(Peer(2), Me, 4, lastIndex, lastTerm));
            Assert.Equal(granted, Assert.Single(lone.Sent<Message>()) is PreVoteGranted or VoteGranted);
        }
    }

    // 5.4.2 Committing entries from previous terms

    [Fact]
    public void Section_5_4_2_an_earlier_terms_entry_is_not_committed_by_counting()
    {
        var lone = new LoneReplica(3, [1, 2], new HardState(2, default, 0));
        lone.Lead(1);
        lone.Step(new AppendAccepted(Peer(2), Me, 3, 2));
        lone.Step(new AppendAccepted(Peer(3), Me, 3, 2));
        Assert.Equal(0ul, lone.Node.CommitIndex);
        lone.Step(new AppendAccepted(Peer(2), Me, 3, 3));
        Assert.Equal(3ul, lone.Node.CommitIndex);
    }

    // 5.5 Follower and candidate crashes

    [Fact]
    public void Section_5_5_a_repeated_append_changes_nothing()
    {
        var lone = new LoneReplica(3);
        var append = new AppendEntries(Peer(2), Me, 1, 0, 0, 0, Log(1, 1));
        lone.Step(append);
        lone.Step(append);
        Assert.Equal([2ul, 2ul], lone.Sent<AppendAccepted>().Select(answer => answer.Index));
        Assert.Equal(2ul, lone.Replica.Disk.LastIndex);
    }

    // 6 Cluster membership changes

    [Fact]
    public void Section_6_a_server_that_hears_a_leader_disregards_vote_requests()
    {
        var lone = new LoneReplica(3);
        lone.Step(new Heartbeat(Peer(2), Me, 1, 0, 1));
        lone.Step(new VoteRequest(Peer(3), Me, 9, 9, 8));
        Assert.All(lone.Sent<Message>(), answer => Assert.IsType<HeartbeatResponse>(answer));
        Assert.Equal(1ul, lone.Node.Term);
        lone.Tick(10);
        lone.Step(new VoteRequest(Peer(3), Me, 9, 9, 8));
        Assert.IsType<VoteGranted>(Assert.Single(lone.Sent<Message>()));
    }

    [Fact]
    public void Section_6_a_leader_that_is_removed_steps_down_when_the_change_is_applied()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Replica.Do(node => node.ProposeConfChange(new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.Remove, Me)])));
        Assert.Equal(Role.Leader, lone.Node.Role);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 2));
        Assert.Equal(Role.Follower, lone.Node.Role);
        lone.Tick(100);
        Assert.Equal(Role.Follower, lone.Node.Role);
    }

    [Fact]
    public void Section_6_new_servers_join_without_a_vote()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Replica.Do(node => node.ProposeConfChange(new ConfChange(ConfTransition.Auto, [new(ConfChangeKind.AddLearner, Peer(4))])));
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 2));
        lone.Replica.Do(node => node.Propose(default, 1, 1));
        lone.Step(new AppendAccepted(Peer(4), Me, 1, 3));
        Assert.Equal(2ul, lone.Node.CommitIndex);
        lone.Step(new AppendAccepted(Peer(3), Me, 1, 3));
        Assert.Equal(3ul, lone.Node.CommitIndex);
    }

    // 7 Log compaction

    [Fact]
    public void Section_7_a_follower_behind_the_log_is_told_to_fetch_a_snapshot()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Replica.TakeSnapshot();
        lone.Replica.Disk.CompactTo(1);
        lone.Sent<Message>();
        lone.Step(new AppendRejected(Peer(3), Me, 1, 0));
        Assert.Equal(1ul, Assert.Single(lone.Sent<InstallSnapshot>()).Snapshot.Index);
    }

    [Fact]
    public void Section_7_a_snapshot_of_what_is_here_already_discards_nothing()
    {
        var lone = new LoneReplica(3, [1, 1, 1], new HardState(1, default, 1));
        lone.Step(new InstallSnapshot(Peer(2), Me, 1, new SnapshotMetadata(2, 1, 2, TestCluster.VotersOnly(3))));
        Assert.Null(lone.Node.PendingSnapshot);
        Assert.Equal((2ul, 3ul), (lone.Node.CommitIndex, lone.Node.LastIndex));
    }

    // 8 Client interaction

    [Fact]
    public void Section_8_a_leader_begins_its_term_with_a_no_op()
    {
        var lone = new LoneReplica(1);
        lone.Replica.Do(node => node.Campaign());
        Entry entry = Assert.Single(lone.Replica.State);
        Assert.Equal((EntryKind.NoOp, 1ul), (entry.Kind, entry.Term));
    }

    [Fact]
    public void Section_8_a_read_is_proved_by_a_majority_heard_after_it_was_asked()
    {
        LoneReplica lone = InRole(Role.Leader);
        lone.Step(new AppendAccepted(Peer(2), Me, 1, 1));
        lone.Replica.Do(node => node.StartRound(1));
        lone.Replica.Do(node => node.ReadIndex(7));
        lone.Step(new HeartbeatResponse(Peer(2), Me, 1, 1));
        Assert.Equal(1ul, lone.Node.ConfirmedRound);
        Assert.Empty(lone.Replica.Reads);
        lone.Replica.Do(node => node.StartRound(2));
        lone.Step(new HeartbeatResponse(Peer(3), Me, 1, 2));
        Assert.Equal([new ReadState(7, 1)], lone.Replica.Reads);
    }

    private static LoneReplica InRole(Role role)
    {
        var lone = new LoneReplica(3);
        if (role == Role.Leader)
        {
            lone.Lead(1);
        }
        else if (role == Role.Candidate)
        {
            lone.Replica.Do(node => node.Campaign());
            lone.Step(new PreVoteGranted(Peer(2), Me, 1));
        }

        Assert.Equal(role, lone.Node.Role);
        return lone;
    }
}
