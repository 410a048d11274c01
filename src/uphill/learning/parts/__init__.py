"""The parts that an algorithm is composed of. Each is a choice; its fields are its settings.

    g = E[ Σ_t ∇ log π(a_t|s_t) · Ψ_t ]

Sampling says where the expectation comes from, the estimator and the baseline make Ψ, the surrogate
makes the gradient, the optimiser takes the step. Floats are traced: changing one never recompiles.
"""

from uphill.learning.parts.algorithm import Algorithm as Algorithm
from uphill.learning.parts.baselines import BatchMean as BatchMean
from uphill.learning.parts.baselines import LeaveOneOut as LeaveOneOut
from uphill.learning.parts.baselines import NoBaseline as NoBaseline
from uphill.learning.parts.baselines import Replay as Replay
from uphill.learning.parts.baselines import RunningMean as RunningMean
from uphill.learning.parts.baselines import TimeMean as TimeMean
from uphill.learning.parts.baselines import ValueFunction as ValueFunction
from uphill.learning.parts.estimators import GAE as GAE
from uphill.learning.parts.estimators import ActionValue as ActionValue
from uphill.learning.parts.estimators import DiscountedRewardToGo as DiscountedRewardToGo
from uphill.learning.parts.estimators import NStep as NStep
from uphill.learning.parts.estimators import RewardToGo as RewardToGo
from uphill.learning.parts.estimators import TDResidual as TDResidual
from uphill.learning.parts.estimators import TotalReturn as TotalReturn
from uphill.learning.parts.optimizers import SGD as SGD
from uphill.learning.parts.optimizers import Adam as Adam
from uphill.learning.parts.optimizers import NaturalGradient as NaturalGradient
from uphill.learning.parts.optimizers import Optax as Optax
from uphill.learning.parts.optimizers import RMSProp as RMSProp
from uphill.learning.parts.optimizers import TrustRegion as TrustRegion
from uphill.learning.parts.sampling import Episodes as Episodes
from uphill.learning.parts.sampling import Steps as Steps
from uphill.learning.parts.surrogates import ClippedRatio as ClippedRatio
from uphill.learning.parts.surrogates import ImportanceRatio as ImportanceRatio
from uphill.learning.parts.surrogates import KLPenalty as KLPenalty
from uphill.learning.parts.surrogates import ScoreFunction as ScoreFunction
from uphill.policies.networks import Convolution as Convolution
from uphill.policies.policy import NetworkSettings as NetworkSettings
from uphill.policies.policy import PolicySettings as PolicySettings
