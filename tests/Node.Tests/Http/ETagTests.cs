using KvStore.Node.Http;

namespace KvStore.Node.Tests.Http;

public sealed class ETagTests
{
    [Theory]
    [InlineData("\"17\"", 17ul)]
    [InlineData("\"18446744073709551614\"", ulong.MaxValue - 1)]
    public void Our_own_tags_name_their_revision(string tag, ulong revision) => Assert.Equal(revision, ETag.RevisionOf(tag));

    [Theory]
    [InlineData("\"\"")]
    [InlineData("\"0\"")]
    [InlineData("\"017\"")]
    [InlineData("\"+17\"")]
    [InlineData("\" 17\"")]
    [InlineData("\"abc\"")]
    [InlineData("\"99999999999999999999\"")]
    public void A_tag_we_never_gave_out_matches_no_revision(string tag) => Assert.Equal(ETag.NoRevision, ETag.RevisionOf(tag));

    [Theory]
    [InlineData("*", true)]
    [InlineData("\"17\"", true)]
    [InlineData("\"\"", true)]
    [InlineData("W/\"17\"", false)]
    [InlineData("17", false)]
    [InlineData("\"17", false)]
    [InlineData("\"17\" ", false)]
    [InlineData("\"17\", \"18\"", false)]
    [InlineData("\"1 7\"", false)]
    [InlineData("", false)]
    [InlineData("**", false)]
    public void If_Match_takes_one_strong_tag_or_a_star(string value, bool accepted) => Assert.Equal(accepted, ETag.IsStrongOrAny(value));

    [Theory]
    [InlineData("*", true)]
    [InlineData("\"17\"", true)]
    [InlineData("W/\"17\"", true)]
    [InlineData("\"16\", \"17\"", true)]
    [InlineData("\"16\",W/\"17\",\"18\"", true)]
    [InlineData("\"16\"", false)]
    [InlineData("\"16\", \"18\"", false)]
    public void A_list_matches_by_weak_comparison(string list, bool matches) => Assert.Equal(matches, ETag.Matches(list, 17));

    [Theory]
    [InlineData("")]
    [InlineData("17")]
    [InlineData("\"17\",")]
    [InlineData("\"17\" \"18\"")]
    [InlineData("*, \"17\"")]
    [InlineData("w/\"17\"")]
    public void A_malformed_list_is_no_list(string list) => Assert.False(ETag.IsList(list));
}
