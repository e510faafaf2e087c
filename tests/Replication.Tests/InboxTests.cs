namespace KvStore.Replication.Tests;

public sealed class InboxTests
{
    private sealed class Numbered(int number) : InboxItem
    {
        public int Number => number;
    }

    [Fact]
    public void Items_come_out_in_the_order_they_were_posted()
    {
        var inbox = new Inbox();
        for (int i = 0; i < 5; i++)
        {
            Assert.Equal(i == 0, inbox.Post(new Numbered(i)));
        }

        Assert.Equal([0, 1, 2, 3, 4], Drain(inbox));
        Assert.True(inbox.IsEmpty);
    }

    [Fact]
    public void Posting_into_an_empty_inbox_asks_for_a_wake_up_and_into_a_full_one_does_not()
    {
        var inbox = new Inbox();
        Assert.True(inbox.Post(new Numbered(1)));
        Assert.False(inbox.Post(new Numbered(2)));
        Drain(inbox);
        Assert.True(inbox.Post(new Numbered(3)));
    }

    private static List<int> Drain(Inbox inbox)
    {
        var numbers = new List<int>();
        for (InboxItem? item = inbox.TakeAll(); item is not null; item = item.Next)
        {
            numbers.Add(((Numbered)item).Number);
        }

        return numbers;
    }
}
