using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>Writes that come while the disk is busy with earlier ones share an entry, and nothing waits for what is not busy.</summary>
public sealed class GatheringTests
{
    private readonly LoneNode _node = new();
    private readonly ulong _term;

    public GatheringTests()
    {
        _term = _node.LeadWithVotesOfNode1();
        _node.HearAcknowledgement();
        _node.HearAcknowledgement();
    }

    [Fact]
    public void What_comes_while_the_last_proposal_is_on_its_way_to_the_disk_becomes_one_entry()
    {
        long before = Proposals;
        WaitingClient[] clients = [Put("a"), Put("b"), Put("c"), Put("d")];
        Assert.Equal(before + 1, Proposals);

        _node.Turn();
        Assert.Equal(before + 2, Proposals);
        _node.HearAcknowledgement();
        Assert.All(clients, client => Assert.Equal(Outcome.Applied, client.Reply!.Outcome));
    }

    [Fact]
    public void A_write_that_comes_when_the_disk_has_nothing_to_do_is_proposed_in_its_turn()
    {
        for (int n = 0; n < 5; n++)
        {
            long before = Proposals;
            Put("a");
            Assert.Equal(before + 1, Proposals);
            _node.Turn();
        }
    }

    [Fact]
    public void A_disk_that_stands_still_keeps_no_write_from_a_majority_that_may_do_without_it()
    {
        Put("a");
        long before = Proposals;
        WaitingClient second = Put("b");
        Assert.Equal(before, Proposals);
        _node.Pass(ShardLoop.MaxGatherMs);
        _node.Store.Loops[0].RunOnce();
        Assert.Equal(before + 1, Proposals);
        Assert.Null(second.Reply);
    }

    [Fact]
    public void What_waits_when_another_replica_leads_goes_there()
    {
        Put("a");
        WaitingClient second = Put("b");
        Assert.Empty(_node.Forwarded);
        _node.HearHeartbeat(_term + 1, round: 1, lowestMatch: 1);
        _node.Store.Loops[0].RunOnce();
        _node.Pass(_node.Options.TickMs);
        _node.Store.Loops[0].RunOnce();
        Assert.Single(_node.Forwarded, sent => sent.Request.Key.Span.SequenceEqual("b"u8));
        Assert.Null(second.Reply);
    }

    [Fact]
    public void Strong_reads_do_not_wait_with_the_writes()
    {
        Put("a");
        Put("b");
        ulong round = _node.LastRoundSent();
        _node.Store.Submit(new KvRequest { Operation = new Get("a"u8), Read = ReadTerms.Strong }, new WaitingClient());
        _node.Store.Loops[0].RunOnce();
        Assert.True(_node.LastRoundSent() > round);
    }

    private long Proposals => _node.Store.Loops[0].Front.Counters.Proposals;

    private WaitingClient Put(string key)
    {
        var client = new WaitingClient();
        _node.Store.Submit(new KvRequest { Operation = new Put(System.Text.Encoding.UTF8.GetBytes(key), new byte[10]) }, client);
        _node.Store.Loops[0].RunOnce();
        return client;
    }
}
