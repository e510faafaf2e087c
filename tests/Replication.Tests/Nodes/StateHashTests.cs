using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Replication.Tests;

/// <summary>The hash of a replica's state, asked of a running node.</summary>
public sealed class StateHashTests
{
    private const ulong Term = 6;

    [Fact]
    public void The_hash_is_that_of_the_moment_it_was_asked_in_whatever_is_applied_before_it_is_computed()
    {
        var node = new LoneNode();
        Follow(node, first: 6, last: 10);
        (ulong applied, ulong expected) = node.Replica.StateHash();
        Assert.Equal(10UL, applied);

        StateHash? answer = null;
        Assert.True(node.Store.TryHashState(new GroupId(1), hash => answer = hash));
        node.Turn();
        Follow(node, first: 11, last: 15);
        Assert.NotEqual(expected, node.Replica.StateHash().Hash);
        Assert.Null(answer);
        node.TurnSnapshots();
        Assert.Equal(new StateHash(10, expected), answer);
    }

    [Fact]
    public void As_many_hashes_as_may_be_are_computed_and_no_more()
    {
        var node = new LoneNode();
        int answered = 0;
        int admitted = 0;
        while (node.Store.TryHashState(new GroupId(1), _ => answered++))
        {
            Assert.InRange(++admitted, 1, 100);
        }

        node.Turn();
        node.TurnSnapshots();
        Assert.Equal(admitted, answered);
        Assert.True(node.Store.TryHashState(new GroupId(1), _ => answered++));
    }

    private static void Follow(LoneNode node, ulong first, ulong last)
    {
        Entry[] entries = [.. Enumerable.Range((int)first, (int)(last - first + 1)).Select(index => LoneNode.NoOp(Term, (ulong)index))];
        ulong previousTerm = first == 6 ? 5UL : Term;
        node.Hear(new AppendEntries(new ReplicaId(1), new ReplicaId(2), Term, first - 1, previousTerm, last, entries));
        node.Turn();
    }
}
