namespace KvStore.Replication.Tests;

public sealed class InboxTests
{
    private sealed class Numbered(int number) : InboxItem<Numbered>
    {
        public int Number => number;
    }

    [Fact]
    public void Items_come_out_in_the_order_they_were_posted()
    {
        var inbox = new Inbox<Numbered>();
        for (int i = 0; i < 5; i++)
        {
            inbox.Post(new Numbered(i));
        }

        Assert.Equal([0, 1, 2, 3, 4], Drain(inbox));
        Assert.True(inbox.IsEmpty);
    }

    [Fact]
    public void Posting_into_an_empty_inbox_wakes_its_taker_and_into_a_full_one_does_not()
    {
        int woken = 0;
        var inbox = new Inbox<Numbered> { Wake = () => woken++ };
        inbox.Post(new Numbered(1));
        Assert.Equal(1, woken);
        inbox.Post(new Numbered(2));
        Assert.Equal(1, woken);
        Drain(inbox);
        inbox.Post(new Numbered(3));
        Assert.Equal(2, woken);
    }

    private static List<int> Drain(Inbox<Numbered> inbox)
    {
        var numbers = new List<int>();
        for (Numbered? item = inbox.TakeAll(); item is not null; item = item.Next)
        {
            numbers.Add(item.Number);
        }

        return numbers;
    }
}
