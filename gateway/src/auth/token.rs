//! Tokens: JSON Web Tokens (RFC 7519) with a signature, as an issuer elsewhere makes them.
//!
//! Which algorithms count is the file's word and never the token's; a token's key is looked for among those of
//! its algorithm. `exp` and `sub` must be there, and `iss` and `aud` if the file names any. The user's role is a
//! claim by name, or a grant in the claim `tickcast`, which goes before it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hyper::Uri;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::error::{AuthError, SECRET_BYTES_MIN};
use super::jwks::{KeySet, KeySource};
use super::key::KeyHash;
use super::parties::Parties;
use super::rejected::Rejected;
use super::role::{Role, Terms, span};
use super::section::Section;
use crate::config::nearest;

/// Where names of algorithms come from (RFC 7518, section 3.1; RFC 8037, section 3.1).
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::HS256),
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// How long a set of keys is used before it is fetched again, where the file does not say.
const REFRESH: Duration = Duration::from_mins(5);

/// How far clocks may differ, where the file does not say.
const LEEWAY: Duration = Duration::from_secs(30);

/// What counts as a token here: `[jwt]`.
#[derive(Debug)]
pub(super) struct TokenRules {
    algorithms: Vec<Algorithm>,
    secret: Option<Secret>,
    /// Where public keys are.
    pub(super) source: Option<KeySource>,
    pub(super) refresh: Duration,
    role_claim: String,
    leeway_s: u64,
    /// Without algorithms: each token is validated for its own.
    validation: Validation,
}

/// What symmetric tokens are signed with.
#[derive(Debug)]
struct Secret {
    key: DecodingKey,
    hash: KeyHash,
}

/// What a token says, once its signature and its times are found to be right.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) user: Box<str>,
    pub(super) id: Option<Box<str>>,
    /// Leeway included, s since 1970-01-01 UTC.
    pub(super) expires_s: u64,
    pub(super) role: RoleClaim,
    /// What it has to go on being, for whoever it let in.
    pub(super) warrant: Warrant,
}

/// By what a token counts: as long as that does.
#[derive(Clone, Debug)]
pub(super) struct Warrant {
    /// The key that its signature is by.
    signer: KeyHash,
    /// Who issued it, and for whom.
    parties: Parties,
}

/// What a token says of its user's role.
#[derive(Debug)]
pub(super) enum RoleClaim {
    /// Its name.
    Named(Box<str>),
    /// The role itself.
    Inline(Role),
}

#[derive(Deserialize)]
struct Claims {
    // Whether these two are there is for the library to say, which has words for it.
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    jti: Value,
    #[serde(default)]
    tickcast: Option<Terms>,
    #[serde(flatten)]
    others: HashMap<String, Value>,
}

impl TokenRules {
    /// Reads `[jwt]`. Paths are taken from the folder of the file.
    pub(super) fn read(section: Section<'_>, folder: &Path) -> Result<Self, AuthError> {
        let names = section.texts("algorithms")?;
        let names = section.must("algorithms", names)?;
        let algorithms = names.iter().map(|name| {
            let known = ALGORITHMS.iter().find(|(known, _)| known == name);
            known.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
                let near = nearest(name, ALGORITHMS.map(|(known, _)| known));
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                section.refuse("algorithms", format!("HS256, RS256, ES256 or EdDSA{near}"))
            })
        });
        let algorithms = algorithms.collect::<Result<Vec<_>, _>>()?;
        let secret =
            section.text("secret-file")?.map(|path| secret(&folder.join(path))).transpose()?;
        let source = source(&section, folder)?;
        for algorithm in &algorithms {
            let (has_key, needs) = match algorithm {
                Algorithm::HS256 => (secret.is_some(), "secret-file"),
                _ => (source.is_some(), "jwks"),
            };
            if !has_key {
                return Err(AuthError::NoKeyFor { at: section.at(), algorithm: *algorithm, needs });
            }
        }
        let leeway = span::<0, 600_000>(&section, "leeway")?.unwrap_or(LEEWAY);
        let mut required = vec!["exp", "sub"];
        let mut validation = Validation::default();
        validation.algorithms.clear();
        validation.leeway = leeway.as_secs();
        validation.validate_nbf = true;
        if let Some(issuers) = section.texts("issuer")? {
            validation.set_issuer(&issuers);
            required.push("iss");
        }
        // A token that names an audience is for nobody else: without one of our own, only those without.
        if let Some(audiences) = section.texts("audience")? {
            validation.set_audience(&audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let refresh = span::<1_000, 86_400_000>(&section, "refresh")?.unwrap_or(REFRESH);
        let role_claim = section.text("role-claim")?.unwrap_or_else(|| "role".to_owned());
        section.finish()?;
        let takes_secret = algorithms.contains(&Algorithm::HS256);
        Ok(Self {
            algorithms,
            secret: secret.filter(|_| takes_secret),
            source,
            refresh,
            role_claim,
            leeway_s: leeway.as_secs(),
            validation,
        })
    }

    /// The algorithms whose keys are public.
    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Verifies a token.
    pub(super) fn verify(&self, token: &str, keys: &KeySet) -> Result<Accepted, Rejected> {
        let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
        // What must be understood and is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Rejected::Malformed);
        }
        if !self.algorithms.contains(&header.alg) {
            return Err(Rejected::Algorithm);
        }
        let key = match header.alg {
            Algorithm::HS256 => self.secret.as_ref().map(|secret| (&secret.key, secret.hash)),
            public => {
                keys.find(header.kid.as_deref(), public).map(|public| (&public.key, public.hash))
            }
        };
        let (key, signer) = key.ok_or(Rejected::Unknown)?;
        let validation = Validation { algorithms: vec![header.alg], ..self.validation.clone() };
        let claims = decode::<Claims>(token, key, &validation).map_err(|error| rejected(&error))?;
        self.accept(claims.claims, signer)
    }

    /// Whether tokens of this warrant still count. While public keys are loaded from another place than before, nobody
    /// can tell whose signatures do, and theirs do.
    pub(super) fn honour(&self, warrant: &Warrant, keys: &KeySet) -> bool {
        self.has_signer(&warrant.signer, keys) && warrant.parties.satisfy(&self.validation)
    }

    fn has_signer(&self, signer: &KeyHash, keys: &KeySet) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.hash == *signer)
            || self.source.is_some() && (keys.is_empty() || keys.has(signer))
    }

    fn accept(&self, claims: Claims, signer: KeyHash) -> Result<Accepted, Rejected> {
        let Claims { sub, exp, jti, tickcast, others } = claims;
        let exp_s = exp.as_u64().or_else(|| whole(exp.as_f64()?)).ok_or(Rejected::Claim("exp"))?;
        let user = sub.as_str().filter(|sub| !sub.is_empty()).ok_or(Rejected::Claim("sub"))?;
        let id = match &jti {
            Value::Null => None,
            Value::String(id) => Some(id.as_str().into()),
            // One that cannot be revoked.
            _ => return Err(Rejected::Claim("jti")),
        };
        let role = match (tickcast, others.get(&self.role_claim)) {
            (Some(terms), _) => RoleClaim::Inline(terms.role().map_err(|_| Rejected::Role)?),
            (None, Some(Value::String(name))) => RoleClaim::Named(name.as_str().into()),
            (None, _) => return Err(Rejected::Role),
        };
        let expires_s = exp_s.saturating_add(self.leeway_s);
        let warrant = Warrant { signer, parties: Parties::of(&others) };
        Ok(Accepted { user: user.into(), id, expires_s, role, warrant })
    }
}

/// A number of seconds with a fraction, which RFC 7519 allows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
fn whole(seconds: f64) -> Option<u64> {
    // Exact up to here.
    const MOST: f64 = 9_007_199_254_740_992.0;
    (0.0..=MOST).contains(&seconds).then_some(seconds as u64)
}

fn rejected(error: &Error) -> Rejected {
    match error.kind() {
        ErrorKind::InvalidSignature => Rejected::Signature,
        ErrorKind::ExpiredSignature => Rejected::Expired,
        ErrorKind::ImmatureSignature => Rejected::NotYet,
        ErrorKind::InvalidIssuer => Rejected::Claim("iss"),
        ErrorKind::InvalidAudience => Rejected::Claim("aud"),
        ErrorKind::MissingRequiredClaim(claim) => Rejected::Claim(match claim.as_str() {
            "iss" => "iss",
            "aud" => "aud",
            "sub" => "sub",
            _ => "exp",
        }),
        ErrorKind::InvalidClaimFormat(claim) if claim == "nbf" => Rejected::Claim("nbf"),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => Rejected::Algorithm,
        // Claims of the wrong form, in a token whose signature is right.
        ErrorKind::Json(_) => Rejected::Role,
        _ => Rejected::Malformed,
    }
}

/// The secret in a file; a line's end behind it does not count.
fn secret(path: &Path) -> Result<Secret, AuthError> {
    let bytes = std::fs::read(path).map_err(AuthError::unreadable(path))?;
    let secret = bytes.trim_ascii_end();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(AuthError::ShortSecret { path: path.to_owned() });
    }
    Ok(Secret { key: DecodingKey::from_secret(secret), hash: KeyHash::of(secret) })
}

/// `jwks`, and `jwks-ca` for where it is fetched from.
fn source(section: &Section<'_>, folder: &Path) -> Result<Option<KeySource>, AuthError> {
    let (jwks, roots) = (section.text("jwks")?, section.text("jwks-ca")?);
    let Some(jwks) = jwks else {
        return match roots {
            Some(_) => Err(section.refuse("jwks-ca", "jwks = \"https://…\" with it")),
            None => Ok(None),
        };
    };
    if !jwks.contains("://") {
        return Ok(Some(KeySource::File(folder.join(jwks))));
    }
    let url = jwks.parse::<Uri>().map_err(|_| section.refuse("jwks", "a path or a URL"))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_ours = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is_safe = match url.scheme_str() {
        Some("https") => true,
        Some("http") => is_ours,
        _ => false,
    };
    if !is_safe {
        return Err(AuthError::InsecureUrl { at: section.at_key("jwks"), url: jwks });
    }
    let mut options = client::Options::new();
    if let Some(roots) = roots {
        options = options.root_pem_file(folder.join(roots))?;
    }
    Ok(Some(KeySource::Url { url: jwks, options }))
}
