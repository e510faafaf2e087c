using KvStore.Protocol;

namespace KvStore.Replication.Tests;

/// <summary>Who has much under way leaves as much for whoever comes next.</summary>
public sealed class FairShareTests
{
    private static readonly NodeId N1 = new(1);

    [Theory]
    [InlineData(1, 500)]
    [InlineData(2, 333)]
    [InlineData(17, 55)]
    public void D3_greedy_sources_get_equal_shares_and_leave_one_for_the_next(int sources, int share)
    {
        var places = new ForwardPlaces(nodes: 1, limit: 1000);
        RequestSource[] greedy = [.. Enumerable.Range(0, sources).Select(_ => new RequestSource())];
        int[] taken = new int[sources];
        for (int round = 0; round < 2000; round++)
        {
            for (int i = 0; i < sources; i++)
            {
                taken[i] += places.TryTake(N1, greedy[i]) ? 1 : 0;
            }
        }

        Assert.All(taken, count => Assert.InRange(count, share - sources, share + 1));
        var next = new RequestSource();
        Assert.InRange(Enumerable.Range(0, 1000).Count(_ => places.TryTake(N1, next)), (1000 - (sources * (share + 1))) / 2, share);
    }

    [Fact]
    public void What_is_given_back_can_be_taken_by_anybody()
    {
        var places = new ForwardPlaces(nodes: 1, limit: 4);
        var one = new RequestSource();
        var other = new RequestSource();
        Assert.Equal(2, Enumerable.Range(0, 4).Count(_ => places.TryTake(N1, one)));
        places.GiveBack(N1, one);
        places.GiveBack(N1, one);
        Assert.Equal(2, Enumerable.Range(0, 4).Count(_ => places.TryTake(N1, other)));
    }

    [Fact]
    public void The_first_request_of_a_source_needs_no_share_and_who_has_no_source_no_share_at_all()
    {
        var places = new ForwardPlaces(nodes: 1, limit: 4);
        Assert.True(places.TryTake(N1, null));
        Assert.True(places.TryTake(N1, null));
        Assert.True(places.TryTake(N1, null));
        Assert.True(places.TryTake(N1, new RequestSource()));
        Assert.False(places.TryTake(N1, new RequestSource()));
        Assert.False(places.TryTake(N1, null));
    }
}
