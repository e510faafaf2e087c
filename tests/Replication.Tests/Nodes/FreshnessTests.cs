using System.Runtime.CompilerServices;
using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>When a replica may say how old its data is, and when it must not.</summary>
public sealed class FreshnessTests
{
    private static readonly ReplicaId Leader = new(1);

    [Fact]
    public void A_replica_that_nobody_told_anything_does_not_know_its_age()
    {
        LoneNode node = Following();
        Assert.Equal(Evidence.AgeUnknown, Eventual(node).AgeMs);
    }

    [Fact]
    public void The_age_counts_from_the_stamp_the_leader_echoes_once_its_commit_index_is_applied()
    {
        LoneNode node = Following();
        ulong stamp = node.Store.Shared.Clock.StampTicks();
        node.Pass(30);
        Prove(node, commit: 6, stamp);
        Assert.Equal(Evidence.AgeUnknown, Eventual(node).AgeMs);

        Commit(node, upTo: 6);
        Assert.InRange(Eventual(node).AgeMs, 31U, 33U);
        node.Pass(1000);
        Assert.InRange(Eventual(node).AgeMs, 1031U, 1034U);
    }

    [Fact]
    public void C3_a_replica_has_caught_up_when_it_has_what_was_committed_before_some_moment_of_its_process()
    {
        LoneNode node = Following();
        Assert.Equal(NotReady.CatchingUp, node.Store.Readiness.Reason);
        Commit(node, upTo: 6);
        Assert.Equal(NotReady.CatchingUp, node.Store.Readiness.Reason);
        Prove(node, commit: 7, node.Store.Shared.Clock.StampTicks());
        Assert.Equal(NotReady.CatchingUp, node.Store.Readiness.Reason);
        Commit(node, upTo: 7);
        Assert.True(node.Store.IsReady, node.Store.Readiness.Detail);

        node.Restart();
        Assert.Equal(NotReady.NoLeader, node.Store.Readiness.Reason);
    }

    [Fact]
    public void Echo_old_incarnation_a_stamp_of_another_process_is_ignored()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        node.Hear(new FreshnessProof(Leader, node.Replica.Id, 6, 6, new Stamp(node.Options.Incarnation + 1, node.Store.Shared.Clock.StampTicks())));
        node.Hear(new FreshnessProof(Leader, node.Replica.Id, 6, 6, new Stamp(node.Options.Incarnation - 1, node.Store.Shared.Clock.StampTicks())));
        node.Turn();
        Assert.Equal(Evidence.AgeUnknown, Eventual(node).AgeMs);
    }

    [Fact]
    public void A_restarted_replica_starts_without_an_age()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        Prove(node, commit: 6, node.Store.Shared.Clock.StampTicks());
        Assert.NotEqual(Evidence.AgeUnknown, Eventual(node).AgeMs);
        node.Restart();
        Assert.Equal(Evidence.AgeUnknown, Eventual(node).AgeMs);
    }

    [Fact]
    public void An_older_proof_that_comes_late_makes_nothing_older_or_younger()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        ulong first = node.Store.Shared.Clock.StampTicks();
        node.Pass(100);
        ulong second = node.Store.Shared.Clock.StampTicks();
        Prove(node, commit: 6, second);
        Prove(node, commit: 6, first);
        Assert.InRange(Eventual(node).AgeMs, 0U, 2U);
    }

    /// <summary>
    /// Always several confirmations behind, a replica must still get fresher: with a queue it does, with the newest only it never would.
    /// </summary>
    [Fact]
    public void Pending_proofs_starve_nobody_who_applies_with_a_lag()
    {
        LoneNode node = Following();
        var stamps = new Dictionary<ulong, ulong>();
        for (ulong index = 6; index < 60; index++)
        {
            stamps[index] = node.Store.Shared.Clock.StampTicks();
            Prove(node, commit: index, stamps[index]);
            node.Pass(100);
            if (index >= 9)
            {
                // Three intervals behind, for ever.
                Commit(node, upTo: index - 3);
                Assert.InRange(Eventual(node).AgeMs, 400U, 410U);
            }
        }
    }

    [Fact]
    public void Confirmations_beyond_the_queue_are_left_out_and_the_old_ones_stay()
    {
        var freshness = new Freshness();
        for (ulong i = 1; i <= 3 * Freshness.MaxPending; i++)
        {
            freshness.Add(new Confirmation(i, (long)i * 10), applied: 0);
        }

        freshness.OnApplied(1);
        Assert.Equal(10, freshness.AsOfTicks);
        freshness.OnApplied(1000);
        Assert.Equal(Freshness.MaxPending * 10, freshness.AsOfTicks);
        Assert.Equal(3UL * Freshness.MaxPending, freshness.Newest!.Commit);
    }

    /// <summary>Round 1 starts, then the follower's newer stamp arrives, then round 1 is confirmed: the echo is the older stamp.</summary>
    [Fact]
    public void Echo_newest_per_pair_is_not_sent_the_stamp_latched_in_the_confirmed_round_is()
    {
        var node = new LoneNode();
        ulong term = node.LeadWithVotesOfNode1();
        CommitOwnTerm(node, term);
        node.Pass(100);
        node.Turn();
        node.HearAnswer(term, node.LastRoundSent(), stampTicks: 1000);
        node.Turn();
        node.Pass(100);
        node.Turn();
        ulong round = node.LastRoundSent();
        node.Sent.Clear();
        node.HearAnswer(term, round - 1, stampTicks: 5000);
        node.HearAnswer(term, round, stampTicks: 6000);
        node.Turn();

        FreshnessProof proof = Assert.Single(node.SentMessages().OfType<FreshnessProof>());
        Assert.Equal(new Stamp(1, 1000), proof.Echo);
    }

    [Fact]
    public void Before_an_entry_of_its_term_is_committed_a_leader_proves_nothing()
    {
        var node = new LoneNode();
        ulong term = node.LeadWithVotesOfNode1();
        for (int i = 0; i < 5; i++)
        {
            node.Pass(100);
            node.Turn();
            node.HearAnswer(term, node.LastRoundSent(), stampTicks: 1000);
            node.Turn();
        }

        Assert.Empty(node.SentMessages().OfType<FreshnessProof>());
        Assert.Equal(Evidence.AgeUnknown, Eventual(node).AgeMs);
    }

    [Fact]
    public void A_leader_is_as_fresh_as_the_start_of_its_last_confirmed_round()
    {
        var node = new LoneNode();
        ulong term = node.LeadWithVotesOfNode1();
        CommitOwnTerm(node, term);
        node.Pass(100);
        node.Turn();
        ulong round = node.LastRoundSent();
        node.Pass(40);
        node.HearAnswer(term, round, stampTicks: 1000);
        node.Turn();
        Assert.InRange(Eventual(node).AgeMs, 40U, 43U);
    }

    [Fact]
    public void A_bounded_read_is_served_here_while_the_age_allows_and_asks_the_leader_when_it_does_not()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        Prove(node, commit: 6, node.Store.Shared.Clock.StampTicks());
        node.Pass(100);
        KvReply served = Ask(node, Bounded(200)).Reply!;
        Assert.Equal((ReadLevel.Bounded, ServedPath.Local), (served.Evidence!.Value.Level, served.Evidence!.Value.Path));
        Assert.InRange(served.Evidence!.Value.AgeMs, 101U, 103U);

        node.Pass(200);
        WaitingClient waiting = Ask(node, Bounded(200));
        Assert.Null(waiting.Reply);
        AnswerQuestion(node, index: 6);
        Assert.Equal((ReadLevel.Bounded, ServedPath.Waited), (waiting.Reply!.Evidence!.Value.Level, waiting.Reply.Evidence!.Value.Path));
        Assert.InRange(waiting.Reply.Evidence!.Value.AgeMs, 0U, 2U);
    }

    [Fact]
    public void A_bounded_read_that_may_not_ask_fails_with_the_best_age_or_is_served_and_says_so()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        Prove(node, commit: 6, node.Store.Shared.Clock.StampTicks());
        node.Pass(300);
        KvReply failed = Ask(node, Bounded(200, OnUnmet.Fail)).Reply!;
        Assert.Equal(ErrorCode.TooStale, failed.Code);
        Assert.InRange(failed.Evidence!.Value.AgeMs, 301U, 303U);
        Assert.Equal(0U, failed.History);

        KvReply served = Ask(node, Bounded(200, OnUnmet.Serve)).Reply!;
        Assert.Equal(ErrorCode.KeyNotFound, served.Code);
        Assert.Equal(ReadLevel.Eventual, served.Evidence!.Value.Level);
    }

    [Fact]
    public void Lag_is_told_in_entries_with_the_age_of_what_is_known_of_it()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        KvReply unknown = Ask(node, Lag(5, OnUnmet.Fail)).Reply!;
        Assert.Equal(ErrorCode.TooStale, unknown.Code);

        Prove(node, commit: 10, node.Store.Shared.Clock.StampTicks());
        node.Pass(50);
        KvReply served = Ask(node, Lag(4)).Reply!;
        Assert.Equal(4UL, served.Lag!.Value.Entries);
        Assert.InRange(served.Lag.Value.AgeMs, 51U, 53U);

        // The data itself has no proven age: what is missing may be old.
        Assert.Equal(Evidence.AgeUnknown, served.Evidence!.Value.AgeMs);
        Assert.Equal(ErrorCode.TooStale, Ask(node, Lag(3, OnUnmet.Fail)).Reply!.Code);
    }

    /// <summary>Under steady writes there is always a newer confirmation that finds a follower behind.</summary>
    [Fact]
    public void A_lag_that_was_proved_is_served_although_a_newer_confirmation_finds_entries_missing()
    {
        LoneNode node = Following();
        WaitingClient waiting = Ask(node, Lag(0));
        node.Pass(10);
        Prove(node, commit: 10, node.Store.Shared.Clock.StampTicks());
        Commit(node, upTo: 6);
        AnswerQuestion(node, index: 6);
        Assert.Equal((ReadLevel.Bounded, 0UL), (waiting.Reply!.Evidence!.Value.Level, waiting.Reply.Lag!.Value.Entries));
        Assert.InRange(waiting.Reply.Lag.Value.AgeMs, 11U, 13U);
    }

    [Fact]
    public void One_more_unmet_read_than_there_are_places_is_told_so()
    {
        LoneNode node = Following(o => o with { MaxUnmetReads = 2 });
        WaitingClient[] clients = [new(), new(), new()];
        Array.ForEach(clients, client => node.Store.Submit(Bounded(10), client));
        node.Turn();
        Assert.Null(clients[0].Reply);
        Assert.Null(clients[1].Reply);
        Assert.Equal(ErrorCode.TooStale, clients[2].Reply!.Code);
        Assert.NotEqual(0, clients[2].Reply!.RetryAfterMs);

        Commit(node, upTo: 6);
        AnswerQuestion(node, index: 6);
        Assert.All(clients, c => Assert.NotNull(c.Reply));
        Assert.Null(Ask(node, Bounded(10)).Reply);
    }

    [Fact]
    public void A_session_read_waits_for_its_index_and_is_served_the_moment_it_is_applied()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        uint history = Ask(node, Get(ReadLevel.Eventual)).Reply!.History;
        WaitingClient waiting = Ask(node, Get(ReadLevel.Session) with { Session = new SessionPoint(8, history) });
        Assert.Null(waiting.Reply);
        Commit(node, upTo: 7);
        Assert.Null(waiting.Reply);
        Commit(node, upTo: 8);
        Assert.Equal((ReadLevel.Session, 8UL), (waiting.Reply!.Evidence!.Value.Level, waiting.Reply.Evidence!.Value.Applied));
    }

    [Theory]
    [InlineData(ReadLevel.Strong)]
    [InlineData(ReadLevel.Bounded)]
    [InlineData(ReadLevel.Session)]
    public void A_token_of_another_history_is_an_error_even_where_nobody_may_be_asked_for_a_proof(ReadLevel level)
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        uint history = Ask(node, Get(ReadLevel.Eventual)).Reply!.History;
        var terms = new ReadTerms { Level = level, MaxStalenessMs = 10, OnUnmet = OnUnmet.Fail };
        WaitingClient client = Ask(node, Get(terms) with { Session = new SessionPoint(6, history + 1) });
        Assert.Equal(ErrorCode.SessionTokenInvalid, client.Reply!.Code);
    }

    [Fact]
    public void A_token_from_the_future_is_an_error_and_not_an_endless_wait()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        uint history = Ask(node, Get(ReadLevel.Eventual)).Reply!.History;
        WaitingClient waiting = Ask(node, Get(ReadLevel.Session) with { Session = new SessionPoint(1000, history) });
        AnswerQuestion(node, index: 6);
        Assert.Equal(ErrorCode.SessionTokenInvalid, waiting.Reply!.Code);
    }

    [Fact]
    public void Token_other_history_is_an_error_at_every_level()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        uint history = Ask(node, Get(ReadLevel.Eventual)).Reply!.History;
        Assert.NotEqual(0U, history);
        foreach (ReadLevel level in new[] { ReadLevel.Session, ReadLevel.Eventual })
        {
            KvReply reply = Ask(node, Get(level) with { Session = new SessionPoint(1, history + 1) }).Reply!;
            Assert.Equal(ErrorCode.SessionTokenInvalid, reply.Code);
        }
    }

    [Fact]
    public void A_session_read_without_a_token_is_served_at_once_and_begins_a_session()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        KvReply reply = Ask(node, Get(ReadLevel.Session)).Reply!;
        Assert.Equal(ReadLevel.Session, reply.Evidence!.Value.Level);
        Assert.NotEqual(0U, reply.History);
    }

    [Fact]
    public void A_session_that_may_ask_nobody_ends_with_its_deadline()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        uint history = Ask(node, Get(ReadLevel.Eventual)).Reply!.History;
        node.Sent.Clear();
        WaitingClient waiting = Ask(
            node, Get(ReadLevel.Session, OnUnmet.Fail) with { Session = new SessionPoint(8, history), TimeoutMs = 300 });
        node.Pass(200);
        node.Turn();
        Assert.Null(waiting.Reply);
        Assert.Empty(node.SentMessages().OfType<ReadIndexRequest>());
        node.Pass(150);
        node.Turn();
        Assert.Equal(ErrorCode.Timeout, waiting.Reply!.Code);
    }

    /// <summary>A follower may stand still for as long as a snapshot takes to arrive, and thousands are answered meanwhile.</summary>
    [Fact]
    public void A_read_that_is_answered_before_its_proof_is_applied_leaves_nothing_behind()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        WeakReference client = AskUntilTheDeadline(node);
        GC.Collect();
        Assert.False(client.IsAlive);
    }

    [Fact]
    public void A_read_that_was_lost_on_its_way_to_the_leader_is_handed_on_again()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        WaitingClient waiting = Ask(node, Get(ReadLevel.Strong));
        AnswerQuestion(node, index: 50);
        for (int i = 0; i < 12 && node.Forwarded.Count < 2; i++)
        {
            node.Pass(100);
            node.HearHeartbeat(term: 6, round: (ulong)i + 2, lowestMatch: 0);
            if (node.Forwarded.Count == 1)
            {
                node.Forwarded[0].Completion.Lost(notSent: true);
            }

            node.Turn();
        }

        Assert.Equal(2, node.Forwarded.Count);
        node.Forwarded[1].Completion.Replied(new KvReply { Result = new Found(9, new byte[1]) });
        node.Turn();
        Assert.Equal(9UL, waiting.Reply!.Revision);
    }

    [Fact]
    public void A_proved_read_whose_entries_do_not_come_is_handed_to_the_leader()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        WaitingClient waiting = Ask(node, Get(ReadLevel.Strong));
        AnswerQuestion(node, index: 50);
        Assert.Null(waiting.Reply);
        for (int i = 0; i < 6 && node.Forwarded.Count == 0; i++)
        {
            node.Pass(100);
            node.HearHeartbeat(term: 6, round: (ulong)i + 2, lowestMatch: 0);
            node.Turn();
        }

        Assert.Single(node.Forwarded);
        node.Forwarded[0].Completion.Replied(new KvReply { Result = new Found(9, new byte[1]) });
        node.Turn();
        Assert.Equal(9UL, waiting.Reply!.Revision);
    }

    [Fact]
    public void A_strong_read_may_be_told_not_to_ask_or_to_take_what_there_is()
    {
        LoneNode node = Following();
        Commit(node, upTo: 6);
        Assert.Equal(ErrorCode.TooStale, Ask(node, Get(ReadLevel.Strong, OnUnmet.Fail)).Reply!.Code);

        // The leader's node is gone: nobody can be asked.
        node.Store.OnPeerLost(new NodeId(1));
        KvReply served = Ask(node, Get(ReadLevel.Strong, OnUnmet.Serve)).Reply!;
        Assert.Equal(ReadLevel.Eventual, served.Evidence!.Value.Level);
    }

    private static KvRequest Get(ReadLevel level, OnUnmet onUnmet = OnUnmet.Forward) => Get(new ReadTerms { Level = level, OnUnmet = onUnmet });

    private static KvRequest Get(ReadTerms terms) => new() { Operation = new Get("k"u8), Read = terms };

    private static KvRequest Bounded(int maxStalenessMs, OnUnmet onUnmet = OnUnmet.Forward) =>
        Get(new ReadTerms { Level = ReadLevel.Bounded, MaxStalenessMs = maxStalenessMs, OnUnmet = onUnmet });

    private static KvRequest Lag(ulong entries, OnUnmet onUnmet = OnUnmet.Forward) =>
        Get(new ReadTerms { Level = ReadLevel.Bounded, MaxLag = entries, OnUnmet = onUnmet });

    private static Evidence Eventual(LoneNode node) => Ask(node, Get(ReadLevel.Eventual)).Reply!.Evidence!.Value;

    private static WaitingClient Ask(LoneNode node, KvRequest request)
    {
        var client = new WaitingClient();
        node.Store.Submit(request, client);
        node.Turn();
        return client;
    }

    private static LoneNode Following(Func<StoreNodeOptions, StoreNodeOptions>? adjust = null)
    {
        var node = new LoneNode(adjust: adjust);
        node.HearHeartbeat(term: 6, round: 1, lowestMatch: 0);
        node.Turn();
        return node;
    }

    /// <summary>The leader sends and commits no-ops up to this index.</summary>
    private static void Commit(LoneNode node, ulong upTo)
    {
        ulong last = node.Replica.DurableLastIndex;
        node.Hear(new AppendEntries(
            Leader, node.Replica.Id, 6, last, node.Replica.DurableTermAt(last), upTo,
            [.. Enumerable.Range((int)last + 1, (int)(upTo - last)).Select(i => LoneNode.NoOp(6, (ulong)i))]));
        node.Turn();
    }

    private static void Prove(LoneNode node, ulong commit, ulong stampTicks)
    {
        node.Hear(new FreshnessProof(Leader, node.Replica.Id, 6, commit, new Stamp(node.Options.Incarnation, stampTicks)));
        node.Turn();
    }

    // Not inlined: a local of the caller would keep the client.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference AskUntilTheDeadline(LoneNode node)
    {
        WaitingClient client = Ask(node, Get(ReadLevel.Strong) with { TimeoutMs = 150, HopsLeft = 0 });
        AnswerQuestion(node, index: 50);
        node.Pass(200);
        node.Turn();
        Assert.Equal(ErrorCode.Timeout, client.Reply!.Code);
        return new WeakReference(client);
    }

    private static void AnswerQuestion(LoneNode node, ulong index)
    {
        ulong context = node.SentMessages().OfType<ReadIndexRequest>().Last().Context;
        node.Hear(new ReadIndexResponse(Leader, node.Replica.Id, 6, context, index));
        node.Turn();
    }

    private static void CommitOwnTerm(LoneNode node, ulong term)
    {
        node.Hear(new AppendAccepted(Leader, node.Replica.Id, term, node.Replica.DurableLastIndex));
        node.Turn();
    }
}
