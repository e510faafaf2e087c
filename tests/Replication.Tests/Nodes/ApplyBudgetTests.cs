using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>What one turn of a loop may cost, counted in what is stored and not in what was sent.</summary>
public sealed class ApplyBudgetTests
{
    private readonly LoneNode _node = new();
    private int _keysOfTurn;

    [Fact]
    public void SM5_requests_of_a_few_bytes_that_store_megabytes_leave_the_loop_its_turns()
    {
        Raise();
        byte[][] keys = [.. Enumerable.Range(0, 4).Select(i => new[] { (byte)'{', (byte)'t', (byte)'}', (byte)i })];
        foreach (byte[] key in keys)
        {
            Submit(new Put(key, new byte[Limits.MaxValueBytes]));
            _node.Turn();
            _node.HearAcknowledgement();
        }

        // Each stores four values of a megabyte again.
        var operation = new Transaction([], [.. keys.Select(key => new Append(key, []))], []);
        WaitingClient[] clients = [.. Enumerable.Range(0, 40).Select(_ => Submit(operation))];
        _node.Turn();
        Hear();
        var turns = new List<int>();
        for (int turn = 0; turn < 200 && !Array.TrueForAll(clients, client => client.Reply is not null); turn++)
        {
            _keysOfTurn = 0;
            RunOnce();
            turns.Add(_keysOfTurn);
        }

        Assert.All(clients, client => Assert.Equal(ErrorCode.None, client.Reply!.Code));
        Assert.Equal(160, turns.Sum());
        Assert.True(turns.Max() <= 8, $"megabytes stored in each turn: {string.Join(" ", turns)}");
    }

    /// <summary>Few of them fit into a turn, and many into what a turn reads: what was read and not applied must not be read again.</summary>
    [Fact]
    public void A_replay_of_appends_to_a_growing_value_reads_the_log_once()
    {
        const int Appends = 1000;
        const int EntryBytesAtMost = 200;
        Raise();
        Submit(new Put("k"u8, new byte[Limits.MaxValueBytes / 2]));
        for (int i = 0; i < Appends; i++)
        {
            _node.Turn();
            _node.HearAcknowledgement();
            Submit(new Append("k"u8, "0123456789"u8));
        }

        _node.Turn();
        _node.HearAcknowledgement();
        _node.Restart();
        int replayed = 0;
        _node.Store.Shared.Events.Applied = (_, _, entry) => replayed += entry.Kind == EntryKind.Command ? 1 : 0;
        long before = _node.Disk.Counters.BytesRead;
        while (_node.Store.Loops[0].RunOnce())
        {
        }

        Assert.InRange(replayed, Appends - 1, Appends + 1);
        Assert.InRange(_node.Disk.Counters.BytesRead - before, Limits.MaxValueBytes / 2, Limits.MaxValueBytes / 2 + (Appends * EntryBytesAtMost));
    }

    [Fact]
    public void Small_appends_of_one_turn_share_an_entry()
    {
        Raise();
        ulong before = _node.Replica.DurableLastIndex;
        for (int i = 0; i < 200; i++)
        {
            Submit(new Append("k"u8, "ten bytes."u8));
        }

        _node.Turn();
        Assert.Equal(before + 1, _node.Replica.DurableLastIndex);
    }

    /// <summary>A voter may be away for long, and each answer may hold three megabytes.</summary>
    [Fact]
    public void SM2_of_the_answers_that_wait_for_every_voter_only_few_keep_values()
    {
        Raise();
        Submit(new Put("k"u8, new byte[Limits.MaxValueBytes]));
        _node.Turn();
        _node.HearAcknowledgement();
        var operation = new Transaction([], [new Get("k"u8), new Put("{k}"u8, "v"u8)], []);
        WaitingClient[] clients = [.. Enumerable.Range(0, 7).Select(_ => Submit(operation, WriteAck.All))];
        _node.Turn();
        _node.HearAcknowledgement();
        Assert.All(clients, client => Assert.Null(client.Reply));
        Hear(from: 3);
        _node.Turn();
        TransactionResult[] results = [.. clients.Select(client => Assert.IsType<TransactionResult>(client.Reply!.Result))];
        Assert.Equal(4, results.Count(result => result.HeldBytes > 0));
        Assert.All(results, result => Assert.IsType<Written>(result.Items[1].Result));
        Assert.All(results, result => Assert.Equal(results[0].Items[0].Result!.Revision, result.Items[0].Result!.Revision));
    }

    private void Raise()
    {
        _node.LeadWithVotesOfNode1();
        _node.HearAcknowledgement();
        _node.Store.OnPeerHello(new NodeId(1), 1, FeatureLevel.Max);
        _node.Store.OnPeerHello(new NodeId(3), 1, FeatureLevel.Max);
        for (int tick = 0; tick < 5 && _node.Store.Groups[0].Level < FeatureLevel.Max; tick++)
        {
            _node.Pass(50);
            _node.Turn();
            _node.HearAcknowledgement();
        }

        Assert.Equal(FeatureLevel.Max, _node.Store.Groups[0].Level);
        _node.Store.Shared.Events.Applied = (_, _, entry) => _keysOfTurn += entry.Kind == EntryKind.Command ? (int)entry.Count : 0;
    }

    private WaitingClient Submit(WriteOperation operation, WriteAck ack = WriteAck.Majority)
    {
        var client = new WaitingClient();
        _node.Store.Submit(new KvRequest { Operation = operation, Ack = ack }, client);
        return client;
    }

    // Heard, and nothing is turned yet.
    private void Hear(ulong from = 1) => _node.Hear(
        new AppendAccepted(new ReplicaId(from), _node.Replica.Id, _node.Replica.View.Term, _node.Replica.DurableLastIndex));

    private void RunOnce()
    {
        _node.Store.Loops[0].RunOnce();
        while (_node.Store.Log.Gather())
        {
            _node.Store.Log.Write();
            _node.Store.Log.Sync();
            _node.Store.Log.Complete();
        }
    }
}
