namespace KvStore.Replication.Tests;

public sealed class WriteIdsTests
{
    [Fact]
    public void The_floor_stays_below_the_oldest_unanswered_write()
    {
        var ids = new WriteIds(7);
        Assert.Equal(1UL, ids.Next().Sequence);
        Assert.Equal(2UL, ids.Next().Sequence);
        ids.Answered(2);
        Assert.Equal(1UL, ids.Next().AckedBelow);
        ids.Answered(1);
        Assert.Equal(3UL, ids.Next().AckedBelow);
    }

    [Fact]
    public void A_write_alone_acknowledges_everything_below_itself()
    {
        var ids = new WriteIds(7);
        ids.Answered(ids.Next().Sequence);
        ids.Answered(ids.Next().Sequence);
        KvStore.Protocol.RequestId third = ids.Next();
        Assert.Equal((3UL, 3UL), (third.Sequence, third.AckedBelow));
    }
}
