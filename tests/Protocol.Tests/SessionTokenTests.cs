namespace KvStore.Protocol.Tests;

public sealed class SessionTokenTests
{
    private const string Cluster = "local";

    [Fact]
    public void A_token_reads_back_as_it_was_written()
    {
        SessionToken token = SessionToken.Empty(Cluster)
            .With(new GroupId(7), new SessionPoint(88_123, 0xAABBCCDD), coversAll: false)
            .With(new GroupId(uint.MaxValue), new SessionPoint(ulong.MaxValue, uint.MaxValue), coversAll: false);

        SessionToken read = Parse(token.ToString());

        Assert.Equal(token.Points, read.Points);
        Assert.False(read.Overflow);
        Assert.Matches("^[A-Za-z0-9_-]+$", token.ToString());
    }

    [Fact]
    public void An_empty_token_asks_for_nothing()
    {
        SessionToken read = Parse(SessionToken.Empty(Cluster).ToString());

        Assert.True(read.Find(new GroupId(1)).IsNone);
        Assert.False(read.NeedsStrong(new GroupId(1)));
    }

    [Fact]
    public void A_group_keeps_the_largest_index_the_session_saw()
    {
        var group = new GroupId(3);
        SessionToken token = SessionToken.Empty(Cluster).With(group, new SessionPoint(20, 1), coversAll: false).With(group, new SessionPoint(10, 1), coversAll: false);

        Assert.Equal(20ul, token.Find(group).Applied);
    }

    [Fact]
    public void A_group_that_began_anew_is_counted_from_its_new_beginning()
    {
        var group = new GroupId(3);
        SessionToken token = SessionToken.Empty(Cluster).With(group, new SessionPoint(20, 1), coversAll: false).With(group, new SessionPoint(10, 2), coversAll: false);

        Assert.Equal(new SessionPoint(10, 2), token.Find(group));
    }

    [Fact]
    public void Beyond_its_limit_a_token_drops_the_longest_unused_group_and_says_so()
    {
        SessionToken token = SessionToken.Empty(Cluster);
        for (uint group = 1; group <= SessionToken.MaxGroups; group++)
        {
            token = token.With(new GroupId(group), new SessionPoint(group, 1), coversAll: false);
        }

        Assert.False(token.Overflow);
        token = token.With(new GroupId(1), new SessionPoint(100, 1), coversAll: false)
            .With(new GroupId(1000), new SessionPoint(5, 1), coversAll: false);

        SessionToken read = Parse(token.ToString());
        Assert.True(read.Overflow);
        Assert.Equal(SessionToken.MaxGroups, read.Points.Count);
        Assert.True(read.NeedsStrong(new GroupId(2)));
        Assert.False(read.NeedsStrong(new GroupId(1)));
        Assert.False(read.NeedsStrong(new GroupId(1000)));
    }

    /// <summary>Found by the simulation: an old point of a group that was dropped looked like all the session had seen of it.</summary>
    [Fact]
    public void A_group_that_was_dropped_comes_back_only_with_a_point_that_covers_everything()
    {
        SessionToken token = Overflowing();
        var dropped = new GroupId(1);
        Assert.True(token.NeedsStrong(dropped));

        Assert.True(token.With(dropped, new SessionPoint(3, 1), coversAll: false).NeedsStrong(dropped));
        Assert.Equal(3ul, token.With(dropped, new SessionPoint(3, 1), coversAll: true).Find(dropped).Applied);
    }

    [Fact]
    public void Merging_does_not_bring_back_what_one_of_the_two_has_dropped()
    {
        SessionToken token = Overflowing();
        var dropped = new GroupId(1);
        SessionToken other = SessionToken.Empty(Cluster).With(dropped, new SessionPoint(3, 1), coversAll: false);

        Assert.True(token.Merge(other).NeedsStrong(dropped));
        Assert.True(other.Merge(token).NeedsStrong(dropped));
    }

    [Fact]
    public void A_strong_reply_covers_everything_and_another_one_does_not()
    {
        SessionToken token = Overflowing();
        KvReply Reply(ReadLevel level) => new()
        {
            Evidence = new Evidence(level, 0, new GroupId(1), 1, 9, new NodeId(1), ServedRole.Follower, ServedPath.Local),
            History = 1,
        };

        Assert.True(token.After(Reply(ReadLevel.Session)).NeedsStrong(new GroupId(1)));
        Assert.False(token.After(Reply(ReadLevel.Strong)).NeedsStrong(new GroupId(1)));
        Assert.Same(token, token.After(new KvReply { Code = ErrorCode.NoLeader }));
    }

    [Fact]
    public void The_largest_token_fits_its_stated_length()
    {
        SessionToken token = SessionToken.Empty(Cluster);
        for (uint group = 0; group < SessionToken.MaxGroups; group++)
        {
            token = token.With(new GroupId(uint.MaxValue - group), new SessionPoint(ulong.MaxValue, uint.MaxValue), coversAll: false);
        }

        Assert.InRange(token.ToString().Length, 1, SessionToken.MaxTextLength);
        Assert.Equal(token.Points, Parse(token.ToString()).Points);
    }

    [Fact]
    public void A_group_that_has_no_history_yet_leaves_no_trace()
    {
        SessionToken token = SessionToken.Empty(Cluster).With(new GroupId(1), new SessionPoint(20, 7), coversAll: false);

        Assert.Equal(token.Points, token.With(new GroupId(1), new SessionPoint(5, 0), coversAll: false).With(new GroupId(2), new SessionPoint(5, 0), coversAll: false).Points);
    }

    [Fact]
    public void Merging_takes_the_larger_index_of_each_group_and_keeps_the_overflow()
    {
        SessionToken a = SessionToken.Empty(Cluster).With(new GroupId(1), new SessionPoint(5, 9), coversAll: false).With(new GroupId(2), new SessionPoint(50, 9), coversAll: false);
        SessionToken b = SessionToken.Empty(Cluster).With(new GroupId(1), new SessionPoint(8, 9), coversAll: false).With(new GroupId(3), new SessionPoint(1, 9), coversAll: false);
        SessionToken merged = a.Merge(b);

        Assert.Equal(8ul, merged.Find(new GroupId(1)).Applied);
        Assert.Equal(50ul, merged.Find(new GroupId(2)).Applied);
        Assert.Equal(1ul, merged.Find(new GroupId(3)).Applied);
        Assert.False(merged.Overflow);
        for (uint group = 10; group < 10 + SessionToken.MaxGroups; group++)
        {
            b = b.With(new GroupId(group), new SessionPoint(1, 9), coversAll: false);
        }

        Assert.True(a.Merge(b).Overflow);
        Assert.True(b.Merge(a).Overflow);
    }

    [Fact]
    public void A_token_of_another_cluster_is_told_from_one_that_is_unreadable()
    {
        string token = SessionToken.Empty("production").With(new GroupId(1), new SessionPoint(5, 9), coversAll: false).ToString();

        Assert.False(SessionToken.TryParse(token, Cluster, out _, out string? problem));
        Assert.Contains("another cluster", problem, StringComparison.Ordinal);
        Assert.False(SessionToken.TryParse("what?", Cluster, out _, out problem));
        Assert.Contains("unreadable", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Whatever_is_changed_in_a_token_is_noticed()
    {
        string text = SessionToken.Empty(Cluster).With(new GroupId(9), new SessionPoint(123_456, 77), coversAll: false).ToString();
        for (int i = 0; i < text.Length; i++)
        {
            foreach (char c in "AZaz09-_=+ %")
            {
                if (c != text[i])
                {
                    string changed = text[..i] + c + text[(i + 1)..];
                    Assert.False(SessionToken.TryParse(changed, Cluster, out _, out _), changed);
                }
            }

            Assert.False(SessionToken.TryParse(text[..i], Cluster, out _, out _));
        }
    }

    [Fact]
    public void Random_text_never_parses_and_never_throws()
    {
        var random = new Random(20261121);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = new byte[random.Next(200)];
            random.NextBytes(bytes);
            Assert.False(SessionToken.TryParse(System.Buffers.Text.Base64Url.EncodeToString(bytes), Cluster, out _, out _), $"iteration {i}");
        }

        Assert.False(SessionToken.TryParse(new string('A', 1 << 20), Cluster, out _, out _));
    }

    /// <summary>Has seen groups 1 to 65 and dropped the first.</summary>
    private static SessionToken Overflowing()
    {
        SessionToken token = SessionToken.Empty(Cluster);
        for (uint group = 1; group <= SessionToken.MaxGroups + 1; group++)
        {
            token = token.With(new GroupId(group), new SessionPoint(10, 1), coversAll: false);
        }

        return token;
    }

    private static SessionToken Parse(string text)
    {
        Assert.True(SessionToken.TryParse(text, Cluster, out SessionToken? token, out string? problem), problem);
        return token;
    }
}
